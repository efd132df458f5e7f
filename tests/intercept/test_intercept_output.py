"""Printing and logging: shown once, recorded, not shown again on replay."""

from __future__ import annotations

import builtins
import io
import logging
import sys
import time

import pytest

from intercept.replaying import run

say = print
logger = logging.getLogger("intercepted")


def test_what_is_printed_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        print("hello", 1, sep="-")
        say("early", end="!")
        print("oops", file=sys.stderr)

    runs = run(body)
    shown = capsys.readouterr()
    assert shown.out == "hello-1\nearly!"
    assert shown.err == "oops\n"
    assert runs.logs == [
        ("stdout", "print", "hello-1\n"),
        ("stdout", "print", "early!"),
        ("stderr", "print", "oops\n"),
    ]


def test_other_files_are_written_as_ever() -> None:
    def body() -> str:
        file = io.StringIO()
        print("to", "a file", file=file)
        return file.getvalue()

    runs = run(body)
    assert runs.live == runs.replayed == "to a file\n"
    assert runs.logs == []


def test_printed_values_are_agent_code() -> None:
    class Stamp:
        def __str__(self) -> str:
            return str(time.time())

    runs = run(lambda: print(Stamp(), flush=True))
    assert runs.calls == ["time.time"]


def test_a_stream_of_the_process_is_no_agent_code(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stamping(io.StringIO):
        def write(self, text: str) -> int:
            return super().write(f"{time.time()} {text}")

    monkeypatch.setattr(sys, "stdout", Stamping())
    assert run(lambda: print("x")).calls == []


@pytest.mark.parametrize("arguments", [{"sep": 1}, {"end": 1}, {"nonsense": 1}])
def test_wrong_arguments_raise_as_ever(arguments: dict[str, int]) -> None:
    def body() -> None:
        with pytest.raises(TypeError):
            builtins.print("x", **arguments)  # type: ignore[call-overload]  # the point

    body()
    assert run(body).logs == []


def test_log_records_are_emitted_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def body() -> None:
        logger.info("paid %d", 5)
        logger.error("refused")
        logger.debug("detail")
        logger.log(3, "far too quiet")

    runs = run(body)
    ours = [record.getMessage() for record in caplog.records if record.name == "intercepted"]
    assert ours == ["paid 5", "refused", "detail"]
    assert [entry for entry in runs.logs if entry[1] == "intercepted"] == [
        ("info", "intercepted", "paid 5"),
        ("error", "intercepted", "refused"),
        ("debug", "intercepted", "detail"),
    ]
    assert runs.calls == []


def test_what_filters_stop_is_not_recorded(caplog: pytest.LogCaptureFixture) -> None:
    quiet = logging.getLogger("intercepted.quiet")
    quiet.addFilter(lambda record: "secret" not in record.getMessage())

    def body() -> None:
        quiet.warning("a secret")
        quiet.warning("plain")

    runs = run(body)
    assert runs.logs == [("warn", "intercepted.quiet", "plain")]


def test_a_wrong_format_is_left_to_the_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    bare = logging.getLogger("intercepted.bare")
    bare.propagate = False
    bare.addHandler(logging.StreamHandler(io.StringIO()))
    runs = run(lambda: bare.error("%d things", "no"))
    assert runs.logs == [("error", "intercepted.bare", "%d things")]


def test_secrets_in_logged_urls_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    runs = run(lambda: logger.warning("GET https://u:canary@api/x?api_key=canary&page=2"))
    assert runs.logs[0][2] == "GET https://<redacted>@api/x?api_key=<redacted>&page=2"
    assert "canary" in caplog.text


def test_what_cannot_be_printed_breaks_no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    def body() -> str:
        try:
            print("hello", flush=True)
        except OSError:
            return "it raised"
        return "it did not"

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Broken())
        runs = run(body)
    assert runs.live == runs.replayed == "it did not"


def test_any_text_can_be_printed() -> None:
    def body() -> str:
        print("half a pair: \udc80")
        print("x" * 3_000_000)
        return "done"

    runs = run(body)
    assert runs.live == runs.replayed == "done"
