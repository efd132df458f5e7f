"""Who is recorded asking for what, and what becomes of the environment."""

from __future__ import annotations

import getpass
import logging
import os
import platform
import socket
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from golem_sdk import durable, intercept
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept import table
from intercept.replaying import run

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_what_agent_code_asks_is_recorded() -> None:
    runs = run(lambda: [os.getpid(), os.path.abspath("x"), platform.system()])  # asks, too
    assert runs.live == runs.replayed
    assert runs.calls == ["os.getpid", "os.getcwd", "platform.uname"]


def test_what_libraries_ask_is_not() -> None:
    def body() -> int | None:
        record = logging.LogRecord("x", logging.INFO, "x", 1, "text", None, None)
        return record.process

    runs = run(body)
    assert runs.live == os.getpid()
    assert runs.calls == []


def test_a_program_that_platform_starts_for_a_library_is_not_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: dict[str, Any] = {"platform": platform}
    file = os.path.join(os.sep, "site-packages", "library.py")
    exec(
        compile("def ask(): return platform.processor(), platform.platform()", file, "exec"), names
    )

    def body() -> Any:
        for cache in ("_uname_cache", "_platform_cache"):
            monkeypatch.setattr(platform, cache, None if cache[1] == "u" else {})
        return names["ask"]()

    runs = run(body)
    assert runs.live == runs.replayed
    assert runs.calls == []


@pytest.mark.parametrize("place", ["site-packages", "dist-packages"])
def test_libraries_may_be_anywhere(place: str) -> None:
    # A user's own, those of the system below a virtual environment, those that a .pth file adds.
    file = os.path.join(os.sep, "elsewhere", place, "library.py")
    names: dict[str, Any] = {"os": os}
    exec(compile("def ask(): return os.getpid()", file, "exec"), names)

    runs = run(names["ask"])
    assert runs.live == os.getpid()
    assert runs.calls == []


def test_the_next_life_sees_what_the_first_one_saw(host: list[int]) -> None:
    def body() -> str:
        host[0] += 1
        return socket.gethostname()

    runs = run(body)
    assert runs.live == runs.replayed == "host 2"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """``socket.gethostname`` says this, beneath the interceptor; `getpass` answers ``"sesame"``."""
    number = [1]
    intercept.uninstall()

    def gethostname() -> str:
        return f"host {number[0]}"

    def ask(prompt: str = "Password: ") -> str:
        return f"sesame {number[0]}"

    with monkeypatch.context() as patches:
        patches.setattr(socket, "gethostname", gethostname)
        ask.__name__ = "getpass"
        patches.setattr(getpass, "getpass", ask)
        yield number
        intercept.uninstall()
    intercept.install()


@durable
def logs_in(user: str) -> int:
    return len(user + getpass.getpass())


def test_passwords_are_not_recorded(host: list[int]) -> None:
    def body() -> list[Any]:
        with pytest.raises(NotDurableError, match="does not return it") as raised:
            getpass.getpass("Say: ")
        return [str(raised.value), logs_in("ali baba")]

    runs = run(body)
    assert runs.live == runs.replayed
    assert runs.live[1] == len("ali babasesame 1")
    assert len(runs.calls) == 1
    assert "sesame" not in str(runs.entries)


def test_older_agents_ask_for_a_password_once(
    host: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [evolve(row, version=1) if row.name == "surroundings" else row for row in table.TABLE]
    monkeypatch.setattr(table, "TABLE", tuple(rows))

    def body() -> str:
        host[0] += 1
        return getpass.getpass("Say: ")

    runs = run(body)
    assert runs.live == runs.replayed == "sesame 2"
    assert runs.calls == ["getpass.getpass"]


def test_the_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURROUNDING", "1")
    values: list[str] = []

    def body() -> Any:
        values.append(os.environ["SURROUNDING"])
        if len(values) == 1:
            os.environ["SURROUNDING"] = "2"
            del os.environ["SURROUNDING"]
            monkeypatch.setenv("SURROUNDING", "3")
        return values[-1]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runs = run(body)
    assert [runs.live, runs.replayed] == ["1", "3"]
    assert runs.calls == []
    said = [str(each.message) for each in caught if each.filename == __file__]
    assert len(said) == 3
    assert all("An agent changes the environment: os." in each for each in said)
    assert all("env('SURROUNDING') through " in each for each in said)
