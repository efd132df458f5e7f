"""What is said of a mismatch, of a write with an unknown outcome and of a place; and equal outcomes."""

from __future__ import annotations

import sys
import sysconfig
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from golem_sdk import agent
from golem_sdk.codec.values import encode
from golem_sdk.core.entries import (
    DescribeCallSite,
    ExportedFunctionCompleted,
    ImportedFunctionInvoked,
    NoOp,
)
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.machine import Mismatch
from golem_sdk.durability import current
from golem_sdk.errors import (
    DecodingError,
    GolemError,
    StoreCorruptError,
    UnknownOutcomeError,
    UsageError,
)
from golem_sdk.runtime.divergence import divergence_error, hash_canary
from golem_sdk.runtime.effects import asked
from golem_sdk.runtime.limits import due_ns
from golem_sdk.runtime.outcomes import reveal, same_outcome, shortened
from golem_sdk.runtime.sites import Site, SiteTable, describe_site
from golem_sdk.runtime.unknown import mixed_batch, noted_unknown, unknown_region, unknown_write
from golem_sdk.testing.driver import Step, drive

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.core.entries import Entry
    from golem_sdk.durability import Session

ASKED: list[Callable[[Session], Any]] = []


@agent
def answers(name: str) -> None:
    session = current()
    assert session is not None
    ASKED.append(ASKED.pop()(session))


def of_session(ask: Callable[[Session], Any]) -> Any:
    """What a function says that is asked inside an agent."""
    ASKED[:] = [ask]
    drive([Step(answers, ("x",))])
    return ASKED.pop()


def recorded(entry: Entry | None) -> str:
    mismatch = Mismatch(7, entry, "the agent's code did something else")
    error = of_session(lambda session: divergence_error(session, mismatch))
    assert f"  recorded : {error.recorded}\n" in str(error)
    return str(error.recorded)


def call(request: bytes, site: int = 0) -> ImportedFunctionInvoked:
    kind = int(FunctionType.WRITE_REMOTE)
    return ImportedFunctionInvoked(1, 4, "pay", kind, request, 0, encode(None), False, site, 0)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (None, "nothing: the oplog had ended"),
        (NoOp(1), "NoOp"),
        (ExportedFunctionCompleted(1, encode(5), False), "end of the invocation: 5"),
        (call(encode(5)), "call 4 pay (write-remote) 5 at an unknown line"),
        (call(encode(198 * "x")), f"call 4 pay (write-remote) {198 * 'x'!r} at an unknown line"),
        (call(encode(199 * "x")), f"call 4 pay (write-remote) '{199 * 'x'}… at an unknown line"),
    ],
    ids=["nothing", "other", "end", "call", "long", "too long"],
)
def test_what_was_recorded_is_told(entry: Entry | None, said: str) -> None:
    assert recorded(entry) == said


def test_what_cannot_be_decoded_is_told_as_well_as_can_be() -> None:
    said = recorded(call(b"\xc1"))
    assert said.startswith("call 4 pay (write-remote) '<")
    assert said.endswith(">' at an unknown line")


@pytest.mark.parametrize(
    ("hash_seed", "code", "cause"),
    [
        (0, "", "the code took another path although its file is the same"),
        (1, "", "this process has another PYTHONHASHSEED than the one that recorded"),
        (0, "other", "the source file of this agent changed since it was created"),
        (1, "other", "the source file of this agent changed since it was created"),
    ],
)
def test_the_likely_cause_is_told(hash_seed: int, code: str, cause: str) -> None:
    def ask(session: Session) -> GolemError:
        origin = session.origin
        session.origin = evolve(origin, is_same_hash=not hash_seed, is_same_code=not code)
        return divergence_error(session, Mismatch(7, None, "something else"))

    assert f"  likely cause: {cause}" in str(of_session(ask))


def test_stores_hold_the_hash_of_this_text() -> None:
    """With another text all of them would seem to be from processes with another hash seed."""
    assert hash_canary() == hash("golem-hash-canary")


def test_places() -> None:
    site = Site("/a/b/orders.py", 88, "charge", "pay(card)")
    assert describe_site(site) == "orders.py:88 in charge(): pay(card)"
    assert describe_site(site._replace(source="")) == "orders.py:88 in charge()"
    assert describe_site(None) == "an unknown line"


@pytest.mark.parametrize(
    "explain",
    [
        lambda session: unknown_write(session, 7, "pay", encode([5]), 0),
        lambda session: unknown_region(session, 7),
        lambda session: mixed_batch(session, 7),
    ],
    ids=["write", "region", "batch"],
)
def test_what_was_noted_of_an_unknown_outcome_is_known_in_later_lives(explain: Any) -> None:
    first = of_session(explain)
    again = noted_unknown("answers", str(first), "it is parked")
    assert isinstance(again, UnknownOutcomeError)
    assert (again.index, again.call) == (7, first.call)
    assert str(again) == "it is parked"
    other = noted_unknown("answers", "a note of another version", "it is parked")
    assert isinstance(other, UnknownOutcomeError)
    assert str(other) == "it is parked"


class Odd(Exception):  # noqa: N818  # what it is called does not matter
    """Its text says nothing of its arguments."""

    def __str__(self) -> str:
        return ALIKE[0] if ALIKE else repr(self.args)


ALIKE: list[str] = []


def library(depth: int) -> Callable[[Callable[[], int]], int]:
    """A function of a library that calls what it is given through so many frames of its own."""
    source = "def call(depth, ask):\n    return ask() if depth == 1 else call(depth - 1, ask)"
    found: dict[str, Any] = {}
    exec(compile(source, str(Path(sysconfig.get_path("purelib"), "library.py")), "exec"), found)
    return partial(found["call"], depth)


def described(sites: SiteTable, number: int) -> Site:
    site = sites.site(number)
    assert site is not None
    return site


def test_the_innermost_line_of_user_code_is_found() -> None:
    sites = SiteTable([], "")
    number = library(59)(sites.here)
    assert described(sites, number).source == "number = library(59)(sites.here)"
    assert library(60)(sites.here) == 0, "that is too far to look at each call"


def test_of_a_long_line_the_begin_is_kept(tmp_path: Path) -> None:
    sites, file, found = SiteTable([], ""), tmp_path / "long.py", dict[str, Any]()
    file.write_text(f"def call(ask): return ask()  # {300 * 'x'}")
    exec(compile(file.read_text(), str(file), "exec"), found)
    assert described(sites, found["call"](sites.here)).source == file.read_text()[:200]


def test_each_line_has_a_number_of_its_own() -> None:
    sites = SiteTable([], "")
    numbers = [
        sites.here(),
        sites.here(),
        sites.here(),
    ]
    assert len({described(sites, number).line for number in numbers}) == 3


def test_numbers_go_by_the_order_in_which_an_agent_meets_its_sites(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Agents share what they can of it: none may notice."""
    tables: list[SiteTable] = []
    calls: dict[str, Callable[[], int]] = {
        "a": lambda: tables[-1].here(),
        "b": lambda: tables[-1].here(),
        "c": lambda: tables[-1].here(),
        "d": lambda: tables[-1].here(),
    }
    lines: dict[str, int] = {}
    for most in (10_000, 3):
        monkeypatch.setattr("golem_sdk.runtime.sites._MOST", most)
        for order in ("abc", "abcd", "acbd", "abdc", "bacd", "aabbccdd", "abcd", "dcba"):
            tables.append(SiteTable([], ""))
            numbers = {name: calls[name]() for name in order}
            assert numbers == {name: at for at, name in enumerate(dict.fromkeys(order), start=1)}
            assert numbers == {name: calls[name]() for name in order}
            for name, number in numbers.items():
                place = described(tables[-1], number)
                assert lines.setdefault(name, place.line) == place.line
                assert place.source.startswith(f'"{name}": ')
            assert tables[-1].site(len(numbers) + 1) is None


def test_what_an_oplog_describes_keeps_its_number() -> None:
    known = SiteTable([], "")
    number = known.here()
    entry = DescribeCallSite(1, 7, *described(known, number)._replace(line=1))
    sites = SiteTable([entry], "")
    assert sites.site(6) is None
    assert sites.site(7) == Site(*described(known, number)._replace(line=1))
    assert sites.undescribed(7) is None
    assert sites.here() == 8
    assert sites.undescribed(8) == sites.site(8)
    assert sites.undescribed(8) is None


def test_what_is_frozen_is_no_user_code() -> None:
    sites, found = SiteTable([], ""), dict[str, Any]()
    exec(compile("def call(ask):\n\n return ask()", "<frozen something>", "exec"), found)
    assert described(sites, found["call"](sites.here)).file == __file__


@pytest.mark.parametrize(
    ("module", "is_found"),
    [
        ("golem_sdk.decorators", False),
        ("golem_sdk.durability", False),
        ("golem_sdk.guards.new", False),
        ("golem_sdk.host.new", False),
        ("golem_sdk.intercept.new", False),
        ("golem_sdk.runtime.new", False),
        ("golem_sdk.cli.demo.new", True),
        ("golem_sdking", True),
        ("asyncio.tasks", False),
        ("asyncio_tasks", True),
        (["golem_sdk.runtime"], True),
        (None, True),
    ],
)
def test_modules_that_hold_no_agents_are_passed_over(module: object, is_found: bool) -> None:
    sites, found = SiteTable([], ""), {"__name__": module}
    exec(compile("def call(ask):\n return ask()", "user.py", "exec"), found)
    call: Any = found["call"]
    assert (described(sites, call(sites.here)).file == "user.py") == is_found


def test_above_what_runs_agent_code_nobody_looks() -> None:
    sites, found = SiteTable([], ""), {"__name__": "golem_sdk.runtime.execution"}
    exec(compile("def call(ask):\n return ask()", "execution.py", "exec"), found)
    call: Any = found["call"]
    assert call(sites.here) == 0


@pytest.mark.parametrize("place", ["site-packages", "dist-packages"])
def test_libraries_are_no_user_code_wherever_they_are_installed(place: str) -> None:
    sites, found = SiteTable([], ""), dict[str, Any]()
    file, name = str(Path("/elsewhere", place, "library.py")), f"in_{place[:4]}"
    exec(compile(f"def {name}(ask):\n return ask()", file, "exec"), found)
    assert described(sites, found[name](sites.here)).file == __file__


def test_functions_of_two_files_are_told_apart_even_if_all_else_is_equal() -> None:
    """CPython takes their code for equal: a library that was copied into a program, say."""
    sites, places = SiteTable([], ""), []
    library = Path("/elsewhere", "site-packages", "copied.py")
    for file in ("/own/copied.py", str(library), "/other/copied.py"):
        found = dict[str, Any]()
        exec(compile("def copied(ask):\n return ask()", file, "exec"), found)
        places.append(described(sites, found["copied"](sites.here)).file)
    assert places == ["/own/copied.py", __file__, "/other/copied.py"]


def test_scripts_are_user_code() -> None:
    sites, found = SiteTable([], ""), dict[str, Any]()
    for at, path in enumerate([sysconfig.get_path("scripts"), sys.prefix]):
        source = at * "\n" + "def call(ask):\n    return ask()"
        exec(compile(source, f"{path}/script", "exec"), found)
        assert described(sites, found["call"](sites.here)).file == f"{path}/script"


def test_long_texts_are_shortened_and_say_so() -> None:
    assert shortened(32_768 * "x") == 32_768 * "x"
    assert shortened(32_770 * "x") == f"{32_768 * 'x'}… (2 characters left out)"


def test_outcomes_that_are_the_same() -> None:
    one, two = encode(Odd(1)), encode(Odd(2))
    assert same_outcome(one, one) is True
    assert same_outcome(one, encode(Odd(1))) is True
    assert same_outcome(one, encode(ValueError(1))) is False
    assert same_outcome(encode(1), encode(2)) is False
    ALIKE.append("alike")
    assert same_outcome(one, two) is False, "other arguments"
    ALIKE.clear()


def test_where_an_outcome_rose_does_not_count() -> None:
    def risen(error: BaseException) -> bytes:
        try:
            raise error
        except BaseException as caught:
            return encode(caught)

    here, there = encode(ValueError("x")), risen(ValueError("x"))
    assert here != there
    assert same_outcome(here, there) is True
    assert same_outcome(here, risen(ValueError("y"))) is False
    assert same_outcome(here, risen(KeyError("x"))) is False


def test_a_failure_that_is_no_exception_is_damaged() -> None:
    with pytest.raises(DecodingError, match="not an exception"):
        reveal(encode(5), True)


def test_a_refusal_of_another_agent_does_not_end_the_one_that_asks() -> None:
    def refuse() -> None:
        raise StoreCorruptError("the other's record is damaged")

    def ask(session: Session) -> GolemError:
        with pytest.raises(StoreCorruptError) as caught:
            asked(session, refuse)
        session.check()
        return caught.value

    assert str(of_session(ask)) == "the other's record is damaged"


def test_when_something_is_due() -> None:
    assert due_ns(timedelta(seconds=2), 10) == 2_000_000_010
    assert due_ns(timedelta(0), 10) == due_ns(timedelta(-1), 10) == 10
    assert due_ns(datetime(2030, 1, 1, tzinfo=UTC), 10) == 1_893_456_000 * 10**9
    assert due_ns(datetime(1960, 1, 1, tzinfo=UTC), 10) == 0
    for wrong in (datetime(2030, 1, 1), 5, None):  # noqa: DTZ001  # it is what is refused
        with pytest.raises(UsageError, match="an aware datetime or after a timedelta"):
            due_ns(wrong, 10)
