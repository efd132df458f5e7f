"""The ``golem demo`` command: its options, its files and its exit status."""

from __future__ import annotations

import argparse
import random
import shlex
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from golem_sdk.cli.demo.director import DemoError, Files, Plan, direct
from golem_sdk.cli.demo.report import report_lines, report_values
from golem_sdk.cli.demo.screen import screen_for
from golem_sdk.cli.demo.shop import order_names
from golem_sdk.cli.output import CommandError, Ink, print_json, screen_width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["add_demo_command"]

_MOST_ORDERS = 100
_MOST_KILLS = 1000
_LOG_TAIL = 15
_SIGNALLED = 128  # the shell's: plus the signal's number
_DESCRIPTION = """\
Starts a small HTTP service and a worker process. In the worker, order agents reserve, charge and ship, and
research agents read pages and stream a model's answer. The worker is killed with SIGKILL at random moments
and started again, until all agents have finished. Then the service's own ledger is checked: every effect
exactly once, every result as in a run without crashes. Exit status 0: it is so; 1: it is not."""


def add_demo_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``demo`` to the commands."""
    parser = commands.add_parser(
        "demo",
        help="kill working agents again and again, and check that nothing is lost or done twice",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=_count(0, _MOST_KILLS), default=5, metavar="N")
    parser.add_argument("--orders", type=_count(1, _MOST_ORDERS), default=8, metavar="N")
    parser.add_argument("--seed", type=int, help="decides when the worker is killed")
    parser.add_argument(
        "--keep", action="store_true", help="leave store, ledger and log to look at"
    )
    parser.add_argument(
        "--store", type=Path, metavar="PATH", help="keep the store here, the other files beside it"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=_run)


def _count(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not in the range {least} to {most}")
        return value

    return number


def _run(options: argparse.Namespace) -> int:
    if find_spec("httpx") is None:
        raise CommandError(
            "the demo's agents use httpx, which is not installed: pip install 'golem_sdk[demo]'"
        )
    seed = random.SystemRandom().randrange(10_000) if options.seed is None else options.seed
    plan = Plan(order_names(options.orders), options.kills, seed)
    as_json = options.format == "json"
    stream = sys.stderr if as_json else sys.stdout
    with _ended_by_signals(), _files(options.store, options.keep) as files:
        print("\n".join(_introduction(plan)), file=stream, flush=True)
        try:
            verdict = direct(plan, files, screen_for(stream, len(plan.names)))
        except DemoError as error:
            raise CommandError(
                f"the demo broke off: {error} (seed {seed})\n{_tail(files)}"
            ) from None
        if as_json:
            print_json(report_values(verdict))
        else:
            print()
            for line in report_lines(verdict, Ink(), screen_width()):
                print(line)
        if options.keep or options.store:
            _say_where(files, stream)
    return 0 if verdict.ok else 1


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Being told to end is a way to end in order: children, files and the cursor are seen to."""

    def end(number: int, frame: object) -> None:
        sys.exit(_SIGNALLED + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _introduction(plan: Plan) -> list[str]:
    orders, topics = len(plan.orders), len(plan.topics)
    return [
        f"{orders} order agents and {topics} research agents, plain Python code, work in one process.",
        f"It gets kill -9 {plan.kills} times (seed {plan.seed}). Each agent goes on where it was.",
        "",
    ]


@contextmanager
def _files(store: Path | None, keep: bool) -> Iterator[Files]:
    """The files of a run: beside the store that was asked for, or in a directory of their own."""
    if store is None:
        directory = Path(tempfile.mkdtemp(prefix="golem-demo-"))
        store = directory / "store"
    else:
        directory = None
        store.parent.mkdir(parents=True, exist_ok=True)
    files = Files(
        store=store,
        ledger=store.with_name(f"{store.name}-ledger.jsonl"),
        reference=store.with_name(f"{store.name}-reference.jsonl"),
        log=store.with_name(f"{store.name}-errors.log"),
    )
    for path in (files.store, files.ledger, files.reference, files.log):
        if path.exists():
            raise CommandError(
                f"{path} exists already: the demo needs a store of its own", status=2
            )
    try:
        yield files
    finally:
        if directory is not None and not keep:
            shutil.rmtree(directory, ignore_errors=True)


def _tail(files: Files) -> str:
    lines = files.log.read_text(errors="replace").splitlines() if files.log.exists() else []
    return "\n".join(lines[-_LOG_TAIL:])


def _say_where(files: Files, stream: TextIO) -> None:
    store = shlex.quote(str(files.store))
    example = shlex.quote('fulfil_order("order-1")')
    print(
        f"\nLook at what the agents recorded, and at what the service saw:\n"
        f"  golem agent list --store {store}\n"
        f"  golem agent oplog {example} --store {store}\n"
        f"  {files.ledger}",
        file=stream,
    )
