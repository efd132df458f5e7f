"""A small MCP server for processes that start at once: it knows as much of the protocol as the tests need.

Its tool ``add`` notes in the file of its argument what it was given; ``die`` ends the process.
"""

import json
import os
import sys
from typing import Any

TOOLS = [
    {"name": name, "inputSchema": {"type": "object", "properties": {}}} for name in ("add", "die")
]


def note(text: str) -> None:
    with open(sys.argv[1], "a") as log:
        log.write(f"{text}\n")


def tell(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def answered(method: str, params: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            note("initialized")
            return {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "adder", "version": "1"},
            }
        case "tools/list":
            return {"tools": TOOLS}
        case _:
            if params["name"] == "die":
                os._exit(1)
            given = params["arguments"]
            note(f"added {given}")
            tell(method="notifications/message", params={"level": "info", "data": "adding"})
            text = str(given["one"] + given["other"])
            return {"content": [{"type": "text", "text": text}]}


def serve() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        method = message["method"]
        if method == "server/discover":
            tell(id=message["id"], error={"code": -32601, "message": "not here"})
        elif "id" in message:
            tell(id=message["id"], result=answered(method, message.get("params") or {}))


if __name__ == "__main__":
    serve()
