"""An MCP server with one tool, which does nothing: as much of the protocol as a client needs to call it."""

from __future__ import annotations

import json
import sys
from typing import Any


def _result(method: str, params: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            return {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "idle", "version": "1"},
            }
        case "tools/list":
            return {"tools": [{"name": "idle", "inputSchema": {"type": "object"}}]}
        case _:
            return {"content": [{"type": "text", "text": "done"}]}


def main() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if message["method"] == "server/discover":
            answer["error"] = {"code": -32601, "message": "not here"}
        else:
            answer["result"] = _result(message["method"], message.get("params") or {})
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
