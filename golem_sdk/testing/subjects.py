"""What is crashed, and what its run without crashes has given. Values only."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from attrs import field, frozen

from golem_sdk.errors import UsageError
from golem_sdk.runtime.definitions import AgentDefinition, definition_of
from golem_sdk.runtime.handles import identity
from golem_sdk.testing.effects import Effects, Recording, Stub
from golem_sdk.testing.observations import Observed
from golem_sdk.testing.schedules import Row

__all__ = ["FOR_EVER_S", "Call", "Calm", "HalfWay", "Subject"]

FOR_EVER_S = 1e6
"""A wait that is longer unloads an agent under test."""


@frozen
class Call:
    """A method call of a class agent: what the outside asks of it.

    Attributes:
        method: its name.
        args: positional arguments.
        kwargs: arguments by name.
    """

    method: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(factory=dict)


@frozen
class Subject:
    """What is crashed.

    Attributes:
        agent: the decorated class or function.
        args, kwargs: of its constructor, or of the function.
        calls: of a class agent: the method calls, one after the other.
        stubs: what is called in place of durable functions, by name.
        effects: who performs remote calls after the calm run, see `Effects`.
        allowed: audit events that are no faults.
        suspend_after_s: a longer wait unloads the agent; 0: every wait does.
    """

    agent: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(factory=dict)
    calls: tuple[Call, ...] = ()
    stubs: Mapping[str, Stub] = field(factory=dict)
    effects: str = Effects.RECORDED
    allowed: Collection[str] = ()
    suspend_after_s: float = FOR_EVER_S

    def agent_id(self) -> str:
        """The agent's id.

        Raises:
            UsageError: it is no agent, these are no arguments of it, or the calls do not fit it.
        """
        definition = definition_of(self.agent)
        known = ", ".join(sorted(definition.methods))
        if definition.is_class and not self.calls:
            raise UsageError(
                f"{definition.name} is a class agent: say which of its methods to call ({known})"
            )
        if not definition.is_class and self.calls:
            raise UsageError(f"{definition.name} is a function agent: it has no methods to call")
        for call in self.calls:
            definition.check_method(call.method)
            _check_arguments(definition, call)
        return str(identity(definition, self.args, dict(self.kwargs))[0])


def _check_arguments(definition: AgentDefinition, call: Call) -> None:
    function = inspect.getattr_static(definition.target, call.method)
    signature = inspect.signature(function.__get__(object(), definition.target))
    try:
        signature.bind(*call.args, **call.kwargs)
    except TypeError as error:
        raise UsageError(f"{definition.name}.{call.method}{signature}: {error}") from None


@frozen
class Calm:
    """The run without crashes.

    Attributes:
        agent_id: the agent under test.
        observed: what it has shown.
        recording: answers for later runs.
        rows: the oplogs, the agent's own first.
        start_ns: what its clock showed first.
        took_s: how long it took, in real seconds.
    """

    agent_id: str
    observed: Observed
    recording: Recording
    rows: tuple[Row, ...]
    start_ns: int
    took_s: float


@frozen
class HalfWay:
    """A store as a crash left it, to be taken up elsewhere.

    Attributes:
        rows: space, key and value of every record.
        observed: what was seen until then.
        now_ns: what the clock showed.
    """

    rows: tuple[tuple[int, bytes, bytes], ...]
    observed: Observed
    now_ns: int
