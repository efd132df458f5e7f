"""The public door: crash an agent at every index of its oplog, and compare."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from golem_sdk.errors import UsageError
from golem_sdk.testing.bench import Bench
from golem_sdk.testing.campaigns import Options, Progress, fuzz
from golem_sdk.testing.crews import LocalCrew, RemoteCrew
from golem_sdk.testing.effects import Effects, Stub
from golem_sdk.testing.schedules import parse_schedule
from golem_sdk.testing.subjects import FOR_EVER_S, Call, Subject
from golem_sdk.testing.worker import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from golem_sdk.testing.reports import Report

__all__ = ["FuzzOptions", "crash_at_every_index"]


class FuzzOptions(TypedDict, total=False):
    """What `crash_at_every_index` can be told besides the agent.

    Attributes:
        stubs: functions that are called in place of durable ones, by the durable function or its name.
        effects: ``"real"``: remote calls are performed in every run; by default ``"recorded"``.
        at: one schedule only, as a report prints it: ``"7:lost,9:before"``; ``"none"``: no crash.
        all_pairs: every pair of crashes, not only those at the first entry that a recovery appends.
        random: so many random schedules of two to four crashes, drawn with ``seed``.
        seed: of these.
        hash_seeds: so many other PYTHONHASHSEEDs are tried, too. Everything then runs in new processes, which
            import the agent's module: nothing that this process has patched holds there.
        jobs: processes that work at once; with more than one, the same holds.
        once: names of durable calls that must not be repeated, not even under their idempotency key.
        allow: audit events (``"open"``) that agent code may cause outside of durable calls.
        time_limit: seconds; what is not begun by then is left out, and the report says so.
        suspend_after: as of `Runtime`; 0: the agent is unloaded at every wait.
        progress: told after each run how many are done, planned and faulty.
    """

    stubs: Mapping[Any, Stub]
    effects: str
    at: str
    all_pairs: bool
    random: int
    seed: int
    hash_seeds: int
    jobs: int
    once: Collection[str]
    allow: Collection[str]
    time_limit: float
    suspend_after: float
    progress: Progress


def crash_at_every_index(
    agent: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    calls: Iterable[Call | Sequence[Any]] = (),
    **options: Unpack[FuzzOptions],
) -> Report:
    """Run an agent once, then again and again with a crash at each place, and compare.

    The first run is calm: its effects are real, and what they give is recorded. In all later runs durable
    calls are answered from that recording, so that nothing is paid for again; what nothing intercepts
    happens each time. For each entry of the oplog the process is killed (simulated, on a store in
    memory, with a virtual clock) before its effect, after the effect and before the append, after the append
    (lost, and on disk), and again during the recovery. Then results, the state of class agents and the
    effects that the outside has seen must be those of the calm run.

    Not simulated: a stream that breaks off in a crash goes on from the recording; what is made with
    `golem_sdk.durability.begin_durable_function` is performed in every run.

    Args:
        agent: a class or function with `@agent`.
        *args: its arguments.
        kwargs: its arguments by name.
        calls: of a class agent: the method calls, each as ``(method, *arguments)`` or a `Call`.
        **options: see `FuzzOptions`.

    Returns:
        The report; ``report.ok`` says whether something was tried and had no fault, ``str(report)`` is
        the matrix.

    Raises:
        UsageError: no agent, or not its arguments or methods.
        TimeoutError: the calm run did not end within ``time_limit``.

    Example:
        >>> from golem_sdk import agent, durable
        >>> from golem_sdk.testing import crash_at_every_index
        >>> @durable
        ... def ship(item: str) -> str:
        ...     return f"{item} shipped"
        >>> @agent
        ... def parcel(item: str) -> str:
        ...     return ship(item)
        >>> report = crash_at_every_index(parcel, "lamp")
        >>> report.ok
        True
    """
    subject = _subject(agent, args, kwargs or {}, calls, options)
    amount, progress = _amount(options), options.get("progress")
    jobs, limit_s = options.get("jobs", 1), options.get("time_limit")
    bench = Bench(subject, limit_s=limit_s)
    if jobs == 1 and not amount.hash_seeds:
        return fuzz(LocalCrew(bench), amount, progress)
    with RemoteCrew(_spec(subject), jobs, limit_s) as crew:
        return fuzz(crew, amount, progress)


def _subject(
    agent: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    calls: Iterable[Call | Sequence[Any]],
    options: FuzzOptions,
) -> Subject:
    return Subject(
        agent,
        args,
        dict(kwargs),
        tuple(map(_call, calls)),
        {_stub_name(target): stub for target, stub in options.get("stubs", {}).items()},
        _checked_effects(options.get("effects", Effects.RECORDED)),
        options.get("allow", ()),
        options.get("suspend_after", FOR_EVER_S),
    )


def _amount(options: FuzzOptions) -> Options:
    unknown = options.keys() - FuzzOptions.__annotations__.keys()
    if unknown:
        raise UsageError(
            f"crash_at_every_index() has no option {sorted(unknown)[0]!r}; an agent's own arguments by name"
            " are given as kwargs={...}"
        )
    at = options.get("at")
    return Options(
        None if at is None else parse_schedule(at),
        options.get("all_pairs", False),
        options.get("random", 0),
        options.get("seed", 1),
        tuple(range(1, options.get("hash_seeds", 0) + 1)),
        options.get("once", ()),
        [*map(_stub_name, options.get("stubs", ()))],
        options.get("time_limit"),
    )


def _call(given: Call | Sequence[Any]) -> Call:
    match given:
        case Call():
            return given
        case str():
            return Call(given)
        case [str(method), *args]:
            return Call(method, tuple(args))
    raise UsageError(f"a method call is written (method, *arguments), not {given!r}")


def _checked_effects(effects: str) -> str:
    if effects not in (Effects.RECORDED, Effects.REAL):
        raise UsageError(f'effects is "recorded" or "real", not {effects!r}')
    return effects


def _stub_name(target: Any) -> str:
    if isinstance(target, str):
        return target
    return _reference(target, "a stub stands for a durable function").replace(":", ".")


def _spec(subject: Subject) -> Spec:
    needed = "other processes import the agent"
    return Spec(
        _reference(subject.agent, needed),
        tuple(sys.path),
        subject.args,
        subject.kwargs,
        subject.calls,
        {name: _reference(stub, needed) for name, stub in subject.stubs.items()},
        subject.effects,
        tuple(subject.allowed),
        subject.suspend_after_s,
    )


def _reference(target: Any, needed: str) -> str:
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", "")
    if not module or module == "__main__" or not name or "<" in name:
        raise UsageError(f"{needed}, and {target!r} cannot be imported by its name")
    return f"{module}:{name}"
