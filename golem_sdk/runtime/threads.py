"""Threads and jobs of thread pools that agent code starts: they become lanes of the agent.

What they are called with runs in a context of its own, as in any thread; only the agent and the guards around
the code that has started it hold there, too.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from golem_sdk import originals
from golem_sdk.errors import AgentControlSignal
from golem_sdk.runtime.keys import thread_context
from golem_sdk.runtime.lanes import Lane, LaneThread, current_lane
from golem_sdk.runtime.locks import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from threading import Thread

    from golem_sdk.runtime.session import Session

__all__ = ["end_pool", "join_thread", "lane_of", "name_thread", "start_thread", "submit"]

_LANE = "_golem_lane"


class _PoolFuture(Future[Any]):
    """A future whose hash is its creation number: sets of futures iterate alike in every process."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def __hash__(self) -> int:
        return self._number


def name_thread(session: Session, thread: Thread, *, is_named: bool, is_daemon: bool) -> None:
    """Give a thread that agent code makes the same name in every run, and nothing of the runtime's thread.

    Args:
        session: the agent's.
        thread: it.
        is_named: whether agent code has given it a name.
        is_daemon: whether agent code has said if it is a daemon.
    """
    if not is_daemon and not hasattr(threading.current_thread(), _LANE):
        thread._daemonic = False  # type: ignore[attr-defined]  # its threads are, and agent code is on one
    if not is_named:
        session.crowd.threads_made += 1
        target = thread.name.partition(" ")[2]
        thread.name = f"Thread-{session.crowd.threads_made} {target}".rstrip()


def start_thread(session: Session, thread: Thread) -> None:
    """Start a thread as a lane of the agent. It begins when the code that starts it waits.

    Args:
        session: the agent's.
        thread: what agent code has made.

    Raises:
        RuntimeError: it was started before, or not made.
        AgentControlSignal: the system has refused it; replay would not be refused, so nobody may see that.
    """
    if not vars(thread).get("_initialized") or thread.ident is not None:
        originals.start_thread(thread)  # which raises
    lanes = session.crowd.lanes()
    own, run = LaneThread(), thread.run

    def serve() -> None:
        del thread.run  # it was put there below
        own.serve()

    lane = Lane(
        thread_context(), lambda: _run(session, thread, run), own=own, is_daemon=thread.daemon
    )
    is_daemon = thread.daemon
    vars(thread).update(
        {"run": serve, "_daemonic": True}
    )  # the interpreter's end is not to wait for it
    try:
        originals.start_thread(thread)
    except RuntimeError as error:
        vars(thread).pop("run", None)
        raise session.pump.stop(error) from error
    finally:
        vars(thread)["_daemonic"] = is_daemon
    own.ident = thread.ident
    setattr(thread, _LANE, lane)
    lanes.add_thread(lane)


def _run(session: Session, thread: Thread, run: Callable[[], None]) -> None:
    try:
        run()
    except (AgentControlSignal, SystemExit):
        return
    except BaseException:
        if session.machine.is_live or threading.excepthook is not threading.__excepthook__:
            thread._invoke_excepthook(thread)  # type: ignore[attr-defined]  # as every thread does


def lane_of(thread: Thread) -> Lane | None:
    """The lane that a thread is; ``None``: it is none of an agent's, or was not started."""
    lane: Lane | None = vars(thread).get(_LANE)
    return lane


def join_thread(session: Session, thread: Thread, timeout_s: float | None) -> None:
    """Wait until a thread of the agent is over, at most ``timeout_s`` seconds.

    Raises:
        RuntimeError: it is the one that asks.
    """
    lane = lane_of(thread)
    if lane is None or lane.over:
        return
    if lane is current_lane():
        raise RuntimeError("cannot join current thread")
    timeout_s = None if timeout_s is None else max(0.0, timeout_s)
    wait(session, lane.waiters, timeout_s, f"the end of {thread.name}")


def submit(
    session: Session,
    pool: ThreadPoolExecutor,
    function: Callable[..., Any],
    positional: Sequence[Any],
    keyword: Mapping[str, Any],
) -> Future[Any]:
    """Have a thread of the agent call a function; a pool only says how many do so at once.

    Raises:
        RuntimeError: the pool was shut down.
        NotDurableError: its threads begin with a function of their own.
    """
    if pool._shutdown:
        raise RuntimeError("cannot schedule new futures after shutdown")
    lanes = session.crowd.lanes()
    future = _PoolFuture(next(lanes.futures))

    def work() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = function(*positional, **keyword)
        except AgentControlSignal:
            raise
        except BaseException as error:  # it is the future's outcome
            future.set_exception(error)
        else:
            future.set_result(result)

    lanes.add(Lane(thread_context(), work, job=future), pool)
    return future


def end_pool(
    session: Session, pool: ThreadPoolExecutor, *, waits: bool, cancel_futures: bool
) -> None:
    """Take no more functions; see `ThreadPoolExecutor.shutdown`."""
    pool._shutdown = True
    if session.pump.loop is None:
        return
    lanes, queue = session.pump.loop.lanes.close(pool)
    for lane in lanes if cancel_futures else ():
        if lane.job is not None:
            lane.job.cancel()
    me = current_lane()
    if waits and any(lane is not me for lane in lanes):
        wait(session, queue, None, "the end of a thread pool's work")
