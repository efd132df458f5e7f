"""A state machine for hypothesis: agents are called, killed, restarted and unloaded in any order."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from golem_sdk.core.plan import fold_plan
from golem_sdk.core.status import fold_status
from golem_sdk.errors import DivergenceError, GolemError, UnknownOutcomeError
from golem_sdk.testing.crash import CrashMoment
from golem_sdk.testing.driver import Step
from golem_sdk.testing.scripts import as_test
from golem_sdk.testing.virtual import VirtualRuntime

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AgentStateMachine", "steps"]

_logger = logging.getLogger("golem_sdk")

_LATEST_APPEND = 40
_LONGEST_WAIT_S = 7 * 86400


def _is_quiet(record: logging.LogRecord) -> bool:
    """While hypothesis looks for the shortest program, most failures are of no interest."""
    return False


def steps(
    agent: Callable[..., Any],
    identity: Any = (),
    method: str | None = None,
    *arguments: Any,
) -> st.SearchStrategy[Step]:
    """Calls of one kind, for `AgentStateMachine.steps`.

    Args:
        agent: an agent class or a function agent.
        identity: the tuple of its constructor's arguments.
        method: the method; ``None``: a function agent, which runs once.
        *arguments: the method's arguments. Each of these, and ``identity``, may be a strategy.
    """

    @st.composite
    def draw_step(draw: st.DrawFn) -> Step:  # and not `builds`: a step prints itself as code
        def drawn(given: Any) -> Any:
            return draw(given) if isinstance(given, st.SearchStrategy) else given

        return Step(agent, tuple(drawn(identity)), method, tuple(map(drawn, arguments)))

    return draw_step()


class AgentStateMachine(RuleBasedStateMachine):
    """Base of state machines that test your own agents: hypothesis looks for a program that breaks them.

    A program calls your agents, in between it kills the process at any append of any oplog, restarts it,
    drops agents from memory and lets time pass. Calls survive crashes as with `VirtualRuntime`. At the end
    every agent is replayed against its whole oplog, and your invariants are checked once more. A failure is
    shrunk to the shortest program and the earliest crash, and is printed as a test that runs by itself.

    Say what is called in `steps` and compare with a model in `answered`; or write rules of your own, which
    use ``self.runtime``; or both. Invariants are checked when all agents wait. Run it as
    ``TestName = YourMachine.TestCase``. A `teardown` of your own calls this one first.

    If hypothesis says that data generation is inconsistent, or that a failure is flaky, then the agents (or
    the model) keep something outside of themselves: a class attribute, a global, a cache of the process. All
    programs run in one process: put it into the agent, or reset it in ``__init__``.

    Attributes:
        runtime: the runtime, a `VirtualRuntime`.

    Example:
        >>> from hypothesis import strategies as st
        >>> from golem_sdk import agent
        >>> from golem_sdk.testing import AgentStateMachine, steps
        >>> @agent
        ... class Jar:
        ...     def __init__(self, name: str) -> None:
        ...         self.coins = 0
        ...
        ...     def put(self, coins: int) -> int:
        ...         self.coins += coins
        ...         return self.coins
        >>> class JarMachine(AgentStateMachine):
        ...     def __init__(self) -> None:
        ...         super().__init__()
        ...         self.model = 0
        ...
        ...     def steps(self):
        ...         return steps(Jar, ("red",), "put", st.integers(0, 9))
        ...
        ...     def answered(self, step, result, error):
        ...         self.model += step.arguments[0]
        ...         assert result == self.model
        >>> TestJar = JarMachine.TestCase
        >>> import unittest
        >>> unittest.TestResult.wasSuccessful(
        ...     unittest.defaultTestLoader.loadTestsFromTestCase(TestJar).run(unittest.TestResult())
        ... )
        True
    """

    def __init__(self) -> None:
        super().__init__()
        _logger.addFilter(_is_quiet)
        self.runtime = VirtualRuntime()
        self._calls = 0
        self._program: list[str] = []

    # --- for subclasses -----------------------------------------------------------------------------

    def steps(self) -> st.SearchStrategy[Step]:
        """What the outside may call now: a strategy made with `golem_sdk.testing.steps`."""
        return st.nothing()

    def answered(self, step: Step, result: Any, error: Exception | None) -> None:
        """A call was answered: compare it with a model here.

        Args:
            step: the call.
            result: what it gave.
            error: what the agent raised, otherwise ``None``. By default an error of golem_sdk fails the test,
                other than `UnknownOutcomeError`: a crash beside a write that must not be sent twice.
        """
        if isinstance(error, GolemError) and not isinstance(error, UnknownOutcomeError):
            raise error

    # --- rules --------------------------------------------------------------------------------------

    @precondition(lambda self: type(self).steps is not AgentStateMachine.steps)
    @rule(step=st.runner().flatmap(lambda machine: machine.steps()))
    def invoke(self, step: Step) -> None:
        """Call an agent and wait for the answer."""
        self._calls += 1
        result, error = None, None
        try:
            result = self._made(step).result()
        except DivergenceError:
            raise
        except Exception as raised:
            error = raised
        self._rest()
        self.answered(step, result, error)

    @rule()
    def crash(self) -> None:
        """Kill the process between two calls."""
        self.runtime.crash()
        self._rest()

    @rule(append=st.integers(1, _LATEST_APPEND), moment=st.sampled_from(CrashMoment))
    def crash_at(self, append: int, moment: CrashMoment) -> None:
        """Have the process killed at an oplog append that is still to come."""
        self.runtime.crash(append, moment)

    @rule()
    def restart(self) -> None:
        """Close the runtime in good order, and open it again."""
        self.runtime.restart()
        self._rest()

    @rule()
    def unload(self) -> None:
        """Drop agents from memory that have nothing to do."""
        self.runtime.unload()

    @rule(seconds=st.integers(0, _LONGEST_WAIT_S) | st.floats(0, 2))
    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.runtime.clock.advance(seconds)

    # --- after each step ------------------------------------------------------------------------------

    def check_invariants(self, settings: Any, output: Callable[[str], object], times: Any) -> None:
        """Of hypothesis, which calls it after each step: rests, checks every oplog, then your invariants."""

        def collect(text: str) -> None:
            self._program.append(text)
            output(text)

        self._rest()
        self._check_oplogs()
        super().check_invariants(settings, collect, times)

    def _repr_step(self, rule: Any, data: Any, result: Any) -> str:
        """Of hypothesis, which calls it when it prints the steps of a failure."""
        text: str = super()._repr_step(rule, data, result)
        self._program.append(text)
        return text

    def _rest(self) -> None:
        self.runtime.clock.advance()

    def _check_oplogs(self) -> None:
        for metadata in self.runtime.agents():
            oplog = list(self.runtime.oplog(metadata))
            fold_plan(oplog)  # L1, L2, R1, R2
            assert fold_status(oplog).last == len(oplog), "S1"

    # --- the end ------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Replay every agent, check the invariants once more, and close the runtime."""
        failure = sys.exc_info()[1]
        try:
            if failure is None:
                self._check_replay()
        except BaseException as error:
            failure = error
            raise
        finally:
            if failure is not None and self._program:
                failure.add_note(as_test(type(self), self._program))
            self.runtime.close()
            _logger.removeFilter(_is_quiet)

    def _check_replay(self) -> None:
        self.runtime.replay()
        self._check_oplogs()
        for each in self.invariants:
            if all(holds(self) for holds in each.preconditions):
                each.function(self)

    def _made(self, step: Step) -> Any:
        if step.method is None:
            return self.runtime.trigger(step.agent, *step.identity)
        agent: Any = self.runtime.get(step.agent, *step.identity)
        method = getattr(agent, step.method)
        return self.runtime.trigger(method, *step.arguments, key=f"call-{self._calls}")
