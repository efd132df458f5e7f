"""``golem fuzz``: crash an agent of one's own at every index of its oplog, and compare."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from attrs import evolve

from golem_sdk import originals
from golem_sdk.cli.output import CommandError, Ink, print_json, print_yaml, screen_width
from golem_sdk.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from golem_sdk.testing.campaigns import Options
    from golem_sdk.testing.reports import Report
    from golem_sdk.testing.worker import Spec

__all__ = ["Bar", "add_fuzz_command"]

_HASH_SEEDS = 3
_MOST_JOBS = 64
_BAR_CELLS = 30
_FRAME_S = 0.1
_DESCRIPTION = """\
Runs an agent once with its real effects and records what they give. Then it runs the agent again for every
entry of its oplog, answers its durable calls from that recording, and crashes it there: before the effect,
after the effect and before its entry is appended, after the append (lost, and on disk), and again during the
recovery. Each time results, state and effects must be those of the first run. Prints a verdict for each
place, and for each fault what it means, how to mend it and how to see it again.

Exit status 0: no fault; 1: a fault, or the agent could not be run; 2: called wrongly."""
_EXAMPLES = """\
examples:
  golem fuzz shop:order '"lamp"' '"card-7"'
  golem fuzz shop:Cart '"ada"' --call add '"book"' cents=1500 --call check_out '"card-7"'
  golem fuzz shop:order '"lamp"' '"card-7"' --at 7:lost,9:before

Arguments are JSON, also by name: cents=1500. The agent is run on virtual time: waits take none."""


def add_fuzz_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``fuzz`` to the commands."""
    parser = commands.add_parser(
        "fuzz",
        help="crash an agent of your own at every index, and compare",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("agent", metavar="MODULE:AGENT", help="a class or function with @agent")
    parser.add_argument("args", nargs="*", metavar="JSON", help="its arguments")
    parser.add_argument(
        "--call",
        nargs="+",
        action="append",
        default=[],
        metavar=("METHOD", "JSON"),
        help="of a class agent: a method to call, with its arguments; may be given again",
    )
    _add_effects(parser)
    _add_amount(parser)
    _add_output(parser)
    parser.set_defaults(run=_run)


def _add_effects(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("effects")
    group.add_argument(
        "--stub",
        action="append",
        default=[],
        metavar="CALL=MODULE:FUNCTION",
        help="call this function in place of a durable one (named as in the oplog)",
    )
    group.add_argument(
        "--effects",
        choices=("recorded", "real"),
        default="recorded",
        help="real: perform remote calls in every run, not only in the first",
    )
    group.add_argument(
        "--once",
        action="append",
        default=[],
        metavar="CALL",
        help="a durable call that must not be repeated, not even under its idempotency key",
    )
    group.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="EVENT",
        help="an audit event that is no fault outside of durable calls, as in: open",
    )


def _add_amount(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how much is tried")
    group.add_argument(
        "--at",
        metavar="SCHEDULE",
        help="only these crashes, as in 7:lost,9:before; none: a second run",
    )
    group.add_argument("--pairs", action="store_true", help="every pair of crashes")
    group.add_argument(
        "--random", type=_number(0), default=0, metavar="N", help="so many random schedules more"
    )
    group.add_argument("--seed", type=int, default=1, metavar="N", help="of these")
    group.add_argument(
        "--hash-seeds",
        type=_number(0),
        metavar="N",
        help=f"recover with so many other values of PYTHONHASHSEED, too (default: {_HASH_SEEDS})",
    )
    group.add_argument(
        "--time-limit", type=_seconds, metavar="S", help="begin nothing after so many seconds"
    )
    group.add_argument(
        "--jobs",
        type=_number(1, _MOST_JOBS),
        default=1,
        metavar="N",
        help="processes that work at once",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page, too")
    group.add_argument("--junit", type=Path, metavar="FILE", help="write it for a CI server, too")
    group.add_argument("--format", choices=("text", "json", "yaml"), default="text")


def _run(options: argparse.Namespace) -> int:
    from golem_sdk.testing.campaigns import fuzz
    from golem_sdk.testing.crews import RemoteCrew

    _check_places(options)
    bar = Bar(sys.stderr)
    try:
        spec, amount = _spec(options), _amount(options)
        bar(0, 0, 0)
        with RemoteCrew(spec, options.jobs, options.time_limit) as crew:
            report = fuzz(crew, amount, bar)
    except UsageError as error:
        raise CommandError(str(error), status=2) from None
    except TimeoutError as error:
        raise CommandError(f"the run without crashes did not end in time: {error}") from None
    finally:
        bar.close()
    report = evolve(report, command=_command(options))
    _print(options.format, report)
    _write_files(options, report)
    return 0 if report.ok else 1


def _print(form: str, report: Report) -> None:
    from golem_sdk.testing.reports import report_lines, report_values

    if form == "text":
        for line in report_lines(report, Ink(), screen_width()):
            print(line)
    else:
        (print_json if form == "json" else print_yaml)(report_values(report))


def _check_places(options: argparse.Namespace) -> None:
    """Refuse at once what could not be written after all has been done."""
    for path in (options.html, options.junit):
        if path is not None and not path.absolute().parent.is_dir():
            raise CommandError(f"there is no directory {path.absolute().parent}", status=2)


def _write_files(options: argparse.Namespace, report: Report) -> None:
    from golem_sdk.testing.reports import report_html, report_junit

    for path, form in ((options.html, report_html), (options.junit, report_junit)):
        if path is not None:
            try:
                path.write_text(form(report), encoding="utf-8")
            except OSError as error:
                raise CommandError(f"the report cannot be written: {error}") from None


# --- what was asked for -----------------------------------------------------------------------------


def _spec(options: argparse.Namespace) -> Spec:
    from golem_sdk.testing.subjects import Call
    from golem_sdk.testing.worker import Spec

    args, kwargs = _arguments(options.args)
    calls = []
    for method, *given in options.call:
        positional, named = _arguments(given)
        calls.append(Call(method, positional, named))
    stubs = dict(_stub(text) for text in options.stub)
    path = (os.getcwd(), *(entry for entry in sys.path if entry))
    return Spec(
        options.agent,
        path,
        args,
        kwargs,
        tuple(calls),
        stubs,
        options.effects,
        tuple(options.allow),
    )


def _amount(options: argparse.Namespace) -> Options:
    from golem_sdk.testing.campaigns import Options
    from golem_sdk.testing.schedules import parse_schedule

    at = None if options.at is None else parse_schedule(options.at)
    seeds = options.hash_seeds
    if seeds is None:
        seeds = _HASH_SEEDS if at is None else 0
    return Options(
        at,
        options.pairs,
        options.random,
        options.seed,
        tuple(range(1, seeds + 1)),
        frozenset(options.once),
        [name for name, _ in map(_stub, options.stub)],
        options.time_limit,
    )


def _arguments(texts: Sequence[str]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    positional, named = [], {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if equals and name.isidentifier():
            named[name] = _json(rest)
        else:
            positional.append(_json(text))
    return tuple(positional), named


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        hint = shlex.quote(json.dumps(text))
        raise CommandError(
            f"arguments are JSON, and {text!r} is none ({error}); a text is written {hint}",
            status=2,
        ) from None


def _stub(text: str) -> tuple[str, str]:
    name, _, function = text.partition("=")
    if not name or ":" not in function:
        raise CommandError(f"--stub takes CALL=MODULE:FUNCTION, not {text!r}", status=2)
    return name, function


def _command(options: argparse.Namespace) -> str:
    """The command line that runs the same agent in the same way."""
    words = ["golem", "fuzz", options.agent, *options.args]
    for call in options.call:
        words += ["--call", *call]
    for option in ("stub", "once", "allow"):
        for value in getattr(options, option):
            words += [f"--{option}", value]
    if options.effects != "recorded":
        words += ["--effects", options.effects]
    return shlex.join(words)


def _number(least: int, most: int | None = None) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{value} is not a number from {least}" + _to(most))
        return value

    return number


def _to(most: int | None) -> str:
    return "" if most is None else f" to {most}"


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value


class Bar:
    """A progress bar on a terminal, nothing anywhere else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._next_s = 0.0

    def __call__(self, done: int, planned: int, faults: int) -> None:
        """Show how far it is, if the last time is long enough ago."""
        now_s = originals.monotonic()
        if not self._shown or (now_s < self._next_s and done < planned):
            return
        self._next_s = now_s + _FRAME_S if planned else 0.0
        filled = _BAR_CELLS * done // max(planned, 1)
        bar = "#" * filled + "-" * (_BAR_CELLS - filled)
        wrong = f", {faults} with a fault" if faults else ""
        told = f"{done} of {planned} runs{wrong}" if planned else "the first run, without crashes"
        self._stream.write(f"\r[{bar}] {told}\x1b[K")
        self._stream.flush()

    def close(self) -> None:
        """Wipe it away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
