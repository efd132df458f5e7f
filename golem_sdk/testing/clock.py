"""A clock that a test holds in its hand: time passes when the test waits for a result, or says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Protocol

from golem_sdk.errors import UsageError
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.runtime.timers import Timer

__all__ = ["PausedEnvironment", "VirtualClock"]

_LONGEST_S = 60.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PausedEnvironment(VirtualEnvironment):
    """Virtual time that stands still unless the outside waits for a result, or lets time pass.

    Args:
        seed: of the entropy that it gives.
        start_ns: its first moment, nanoseconds since the epoch; 0: that of `VirtualEnvironment`.
    """

    def __init__(self, seed: int = 0, start_ns: int = 0) -> None:
        super().__init__(seed, *([start_ns] if start_ns else []))
        self._until_ns = 0
        self._waiting = 0

    @property
    def moment_ns(self) -> int:
        """What the clock shows. Other than with `now_ns`, looking takes no time."""
        with self._mutex:
            return self._now_ns

    def let_pass_until(
        self,
        when_done: Callable[[Callable[[], None]], object],
        woken: Callable[[], object],
        due_ns: int | None = None,
    ) -> Callable[[], None]:
        """Let time pass until ``when_done`` calls back, or until ``due_ns``, and call ``woken`` then.

        Returns:
            What does the same at once. Whatever comes first counts.
        """
        answered: list[bool] = []
        limits: list[Timer] = []

        def over() -> None:
            with self._mutex:
                if answered:
                    return
                answered.append(True)
                self._waiting -= 1
            for limit in limits:
                limit.cancel()
            woken()

        with self._mutex:
            self._waiting += 1
        when_done(over)
        if due_ns is not None and not answered:
            limits.append(self.call_at(due_ns, over))
        self.enter()
        self.leave()
        return over

    def wait_outside(
        self, when_done: Callable[[Callable[[], None]], object], due_ns: int | None
    ) -> None:
        """Let time pass until ``when_done`` calls back, or until ``due_ns``.

        Raises:
            TimeoutError: nothing more happens, in real time.
        """
        woken = Event()
        over = self.let_pass_until(when_done, woken.set, due_ns)
        happened = woken.wait(_LONGEST_S)
        over()
        if not happened:
            raise TimeoutError(
                f"the result does not come: for {_LONGEST_S:.0f} real seconds nothing has brought it, and"
                " no timer was left that could. Perhaps two agents wait for each other"
            )

    def pass_time(self, until_ns: int) -> None:
        """Let time pass up to ``until_ns``: fire what is due, and return when all agents wait again.

        Raises:
            TimeoutError: they do not come to rest, in real time.
        """
        with self._mutex:
            self._until_ns = until_ns
        try:
            self.enter()
            self.leave()
            with self._job_over:
                if not self._job_over.wait_for(lambda: not self._active, _LONGEST_S):
                    raise TimeoutError(
                        f"the agents have not come to rest in {_LONGEST_S:.0f} real seconds"
                    )
                self._now_ns = max(self._now_ns, until_ns)
        finally:
            with self._mutex:
                self._until_ns = 0

    def next_timer_ns(self) -> int | None:
        """When the next timer is due, ``None`` if there is none."""
        with self._mutex:
            return self._timers.due_ns()

    def _may_pass_to(self, when_ns: int) -> bool:
        return bool(self._waiting) or when_ns <= max(self._now_ns, self._until_ns)


class _Timed(Protocol):
    """What a clock moves: environments that follow one another, as crashes end them."""

    def moment_ns(self) -> int: ...

    def pass_time(self, until_ns: int) -> None: ...

    def next_timer_ns(self) -> int | None: ...


class VirtualClock:
    """The clock of a `VirtualRuntime`, for tests: nothing ever sleeps.

    Time stands still while the test runs. It passes while the test waits for a result, as far as it takes
    to get that result, and when it is told to. Agents see it in their timers, and in the `time` and
    `datetime` modules.

    Example:
        >>> import time
        >>> from datetime import timedelta
        >>> from golem_sdk import agent
        >>> from golem_sdk.testing import VirtualRuntime
        >>> @agent
        ... def reminder(days: int) -> str:
        ...     time.sleep(days * 86400)
        ...     return "time to water the plants"
        >>> with VirtualRuntime() as runtime:
        ...     handle = runtime.trigger(reminder, 3)
        ...     runtime.clock.advance(timedelta(days=2))
        ...     handle.status().name
        ...     runtime.clock.advance_to_next_timer() > timedelta(hours=23)
        ...     handle.status().name
        'RUNNING'
        True
        'COMPLETED'
    """

    def __init__(self, timed: _Timed) -> None:
        self._timed = timed

    @property
    def now(self) -> datetime:
        """The virtual time, in UTC."""
        return _moment(self._timed.moment_ns())

    def advance(self, by: float | timedelta = 0) -> None:
        """Let time pass: timers that become due fire in their order, and agents run until all wait again.

        Args:
            by: seconds, or a timedelta; 0: only let the agents do what they can do now.

        Raises:
            UsageError: time does not run backwards.
        """
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta(0):
            raise UsageError(f"the clock can be advanced, not set back: {by!r}")
        self._timed.pass_time(self._timed.moment_ns() + step // _MICROSECOND * 1000)

    def advance_to_next_timer(self) -> timedelta:
        """Let time pass until the next timer is due, and let it fire; how much time that was.

        Raises:
            UsageError: nothing waits for a time.
        """
        self.advance()
        due_ns, before_ns = self._timed.next_timer_ns(), self._timed.moment_ns()
        if due_ns is None:
            raise UsageError("no timer is armed: no agent sleeps, and no invocation is scheduled")
        self._timed.pass_time(due_ns)
        return max(due_ns - before_ns, 0) // 1000 * _MICROSECOND

    def __repr__(self) -> str:
        return f"<virtual clock at {self.now:%F %T.%f}>"


def _moment(now_ns: int) -> datetime:
    return _EPOCH + now_ns // 1000 * _MICROSECOND
