"""A forked child has no part in its parent's runtime: it is refused at once, and may leave in peace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage import children

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
    import asyncio, threading
    from golem_sdk import Runtime, agent

    reached, held, free = threading.Event(), threading.Event(), threading.Event()
    me = "parent"

    @agent
    class WaitsWhileForked:
        def __init__(self, name: str) -> None:
            pass

        async def wait(self) -> None:
            try:
                reached.set()
                await asyncio.Event().wait()
            finally:
                os.write(1, f"finally in the {me}\\n".encode())

    async def awaited():
        await handle

    def hold():
        with runtime._kernel._mutex, actor.mutex:  # a thread that the child will not have
            held.set()
            free.wait()

    with MAKE as runtime:
        handle = runtime.trigger(runtime.get(WaitsWhileForked, "a").wait, key="k")
        assert reached.wait(60)
        actor = runtime._kernel.actor("WaitsWhileForked", handle.agent_id)
        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(60)
        child = os.fork()
        if child == 0:
            me = "child"
            signal.alarm(20)

            @agent
            class DefinedInTheChild:
                def work(self) -> None:
                    pass

            print(refusal(handle.result), refusal(handle.status), refusal(handle.cancel),
                  refusal(lambda: asyncio.run(awaited())), refusal(runtime.get, DefinedInTheChild),
                  refusal(runtime.trigger, runtime.get(WaitsWhileForked, "a").wait, key="k"),
                  refusal(runtime.run, WaitsWhileForked), flush=True)
        else:
            print(os.waitpid(child, 0)[1], flush=True)
            free.set()
            holder.join()
    print("left in the", me, flush=True)
"""


@pytest.mark.parametrize("make", ["Runtime(Path(sys.argv[1]))", "Runtime.memory()"])
def test_a_child_is_refused_and_leaves_in_peace(tmp_path: Path, make: str) -> None:
    refused = ["StoreForkedError"] * 4 + ["nothing", "StoreForkedError", "UsageError"]
    assert children.run(SCRIPT.replace("MAKE", make), tmp_path / "store") == [
        " ".join(refused),
        "left in the child",
        "0",
        "finally in the parent",
        "left in the parent",
    ]
