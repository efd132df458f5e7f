"""Every rule finds what it is for, and nothing in what is right."""

from __future__ import annotations

import sys
import textwrap

import pytest

from golem_sdk.intercept.table import TABLE
from golem_sdk.lint import names
from golem_sdk.lint.check import check
from golem_sdk.lint.rules import RULES, Rule

HEAD = """
import asyncio, contextlib, functools, hashlib, io, os, random, requests, shutil, sys, threading, time
from collections import Counter, defaultdict
from os import environ as surroundings, read as entries
from pathlib import Path

from golem_sdk import FunctionType, agent, durable, durable_cached, get
from golem_sdk.errors import AgentControlSignal

SEEN = []
COUNTS: dict[str, int] = defaultdict(int)
HOME = Path("somewhere")
LIMIT = 3
CLIENT = requests.Session()
NAMES = frozenset({"a", "b"})

@durable
def save(name, text):
    os.environ["HERE"] = name
    open(name, "w").write(text)

@durable(function_type=FunctionType.READ_LOCAL)
def region():
    return os.environ["REGION"]

@durable
async def asks():
    return 1

@functools.cache
def token():
    return requests.get("https://token").text

@functools.lru_cache(maxsize=3)
def saved(name):
    return save(name, "")

@functools.cache
def square(number):
    return number * number

@durable_cached
def agent_token():
    return requests.get("https://token").text

def helper(path):
    return os.read(path, 1)

def unused(path):
    os.write(path, b"")

async def later():
    await asyncio.sleep(1)

class Basket:
    total = 0
    def add(self):
        os.write(3, b"basket")

class Base:
    def inherited(self):
        return os.getenv("HOME")

@agent
class Example{bases}:
    async def other(self): ...
    def quick(self): ...
    async def go(self, arg=None, path: Path = HOME, names: set = NAMES, ids: set[int] = NAMES):
"""

FOUND = {
    "GLM003": """
        import mmap; mmap.mmap(-1, 1)
        from os import pwrite as writes; writes("a", "b")
        Basket().add()
        [os.write(each, b"") for each in arg]
        (lambda: os.ftruncate(3, 0))()
    """,
    "GLM004": """
        entries(".")
        helper(arg)
        list(map(helper, arg))
    """,
    "GLM005": """
        import smtplib; smtplib.SMTP("host")
        import pymysql as sql; sql.connect()
        await asyncio.start_server(print, "host", 80)
    """,
    "GLM006": """
        import _thread; _thread.start_new_thread(print, ())
    """,
    "GLM008": """
        for each in names: save(each, "")
        for each in NAMES | {"c"}: save(each, "")
        for each in set(arg): arg.append(each)
        list({1, 2})
        first, *rest = tuple(set(arg))
        mine = {1, 2}; mine.pop()
        ",".join({str(each) for each in arg})
        [save(each, "") for each in frozenset(arg)]
        save(*{"a", "b"})
        for each in names: return each
        for each in names.union(arg) & NAMES: await each
        for each in ids: save(each, "")
        mine: set[str] = arg(); list(mine)
        {save(each, "") for each in names}
        {each: save(each, "") for each in names}
    """,
    "GLM009": """
        key = hash(("a", 1))
        {id(each): each for each in arg}
    """,
    "GLM010": """
        global LIMIT; LIMIT = 4
        SEEN.append(1)
        SEEN[0] = 1
        COUNTS["x"] += 1
        del COUNTS["x"]
        Example.total = 1
    """,
    "GLM011": """
        later()
        self.other()
        asyncio.sleep(1)
        asks()
        handle = get(Example, "other"); handle.other()
        get(Example, "other").other()
    """,
    "GLM012": """
        try: save("a", "b")
        except: pass
        try: save("a", "b")
        except (ValueError, BaseException) as error: print(error)
        try: save("a", "b")
        except AgentControlSignal: return 1
        with contextlib.suppress(BaseException): save("a", "b")
        try: save("a", "b")
        finally: return 1
        try: save("a", "b")
        except* ValueError: arg()
        finally: return 1
        try: save("a", "b")
        finally:
            match arg:
                case 1: return 1
        try: save("a", "b")
        except BaseException:
            def other(): raise ValueError
    """,
    "GLM013": """
        os.environ.get("X")
        surroundings["X"]
        os.getenv("X")
        "X" in os.environ
        sys.argv[1]
        sys.stdin.read()
    """,
    "GLM014": """
        os.environ["X"] = "1"
        del os.environ["X"]
        surroundings.update(X="1")
        os.environ.pop("X")
        os.environ |= {"X": "1"}
        os.chdir("/")
    """,
    "GLM015": """
        token()
        saved("a")
    """,
}
"""Lines of an agent's async method, each of which breaks the rule."""

FINE = """
time.time(); time.sleep(1); random.random(); os.urandom(3); os.getpid(); os.getcwd()
requests.get("http://host"); CLIENT.update("x"); print("x")
open("x").read(); io.open("x", "rb"); path.read_text(); path.open(); os.path.join("a", "b")
path.with_suffix(".x").name; path.write_text("x"); os.replace("x", "y"); os.listdir(); shutil.rmtree("x")
save("a", "b"); region(); agent_token(); square(3)
sorted({1, 2}); len({1}); sum(each for each in NAMES); max(names); "b" in NAMES
for each in sorted(names): save(each, "")
for each in names: arg.add(each); total = len(each)
for each in {"a": 1}: save(each, "")
found = {each for each in names}; also = {1: 2 for each in names}
mine = {1, 2}; mine = sorted(mine); mine.pop(); list(mine)
SEEN[0]; LIMIT + 1; COUNTS.get("x"); self.seen.append(1); self.seen = []
SEEN_HERE = []; SEEN_HERE.append(1)
basket = Counter(); basket.update(arg); basket.total = 3
await later(); task = asyncio.create_task(later()); await task; await self.other()
other = self.other(); await other
handle = get(Example, "other"); await handle.other(); handle.quick(); arg.other(); get(Example, "x").quick()
await asyncio.gather(later(), later())
try: save("a", "b")
except Exception: pass
try: save("a", "b")
except BaseException: arg(); raise
try: save("a", "b")
finally: print("x")
with contextlib.suppress(ValueError): save("a", "b")
loop = asyncio.get_running_loop(); await loop.run_in_executor(None, print)
from concurrent.futures import ThreadPoolExecutor; pool = ThreadPoolExecutor()
hashlib.sha256(b"x").hexdigest(); arg.id(); arg.hash()
"""


def module(lines: str, bases: str = "") -> str:
    body = textwrap.indent(textwrap.dedent(lines).strip("\n") or "pass", " " * 8)
    return HEAD.replace("{bases}", bases) + body + "\n"


def codes(lines: str, bases: str = "") -> list[str]:
    return [finding.code for finding in check(module(lines, bases))]


def blocks(text: str) -> list[str]:
    """One for each line that stands for itself."""
    found: list[str] = []
    for line in textwrap.dedent(text).strip().splitlines():
        if line.startswith(("except", "finally", " ")):
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_the_examples_of_the_table(rule: Rule) -> None:
    assert codes(rule.bad) == [rule.code]
    assert codes(rule.good) == []


@pytest.mark.parametrize(
    ("code", "block"), [(code, block) for code, text in FOUND.items() for block in blocks(text)]
)
def test_what_a_rule_finds(code: str, block: str) -> None:
    assert set(codes(block)) == {code}


@pytest.mark.parametrize("block", blocks(FINE))
def test_what_is_fine(block: str) -> None:
    assert codes(block) == []


def test_codes_are_in_order_and_unique() -> None:
    assert [rule.code for rule in RULES] == [f"GLM{1 + n:03}" for n in range(len(RULES))]


def test_what_is_intercepted_is_not_found() -> None:
    listed = names.CLOCKS | names.DRAWS | names.FILE_READS | names.FILE_WRITES | names.NETWORK
    listed |= names.PROCESSES | names.THREADS
    assert not {name for name in listed if names.is_recorded(name)}
    journaled = {function for row in TABLE for function in row.functions}
    assert {"time.time", "os.urandom"} <= {name for name in journaled if names.is_recorded(name)}


def test_what_is_intercepted_is_taken_out() -> None:
    assert names._left("httpx: connect\ntime: time\nos: write") == {"os.write"}


def test_a_global_that_is_set_here_is_the_modules() -> None:
    assert codes("global SEEN; SEEN = []; SEEN.append(1)") == ["GLM010", "GLM010"]


def test_how_an_object_is_hashed_is_its_own() -> None:
    text = """
    from golem_sdk import agent

    @agent
    class Hashed:
        def __hash__(self):
            return hash(self.name)

        def go(self):
            return 1
    """
    assert check(textwrap.dedent(text)) == []


def test_threads_that_become_the_agents_own_are_not_found() -> None:
    body = """
        threading.Timer(1, print)
        threading.Thread(target=print).start()
        import concurrent.futures; concurrent.futures.ThreadPoolExecutor().submit(print)
    """
    assert "GLM006" not in codes(body)


def test_what_is_followed_and_what_is_not() -> None:
    assert codes("pass") == []  # unused() and Basket.add() are nobody's
    assert codes("pass", "(Base)") == ["GLM013"]
    assert codes("helper = arg; helper(1)") == []  # another one
    assert codes("os = arg; os.write(1)") == []
    assert codes("id = arg; id(1)") == []
    assert codes("def inner():\n    os.write('x')\ninner()") == ["GLM003"]
    assert codes("@durable\ndef inner():\n    os.write('x')\ninner()") == []


def test_code_of_no_agent_is_not_looked_at() -> None:
    assert check("import os\nfrom other import agent\n@agent\ndef go(): os.write('x')") == []
    assert (
        check("import os\nos.write('x')\ndef agent(f): return f\n@agent\ndef go(): os.write('x')")
        == []
    )


@pytest.mark.parametrize(
    ("comment", "left"),
    [
        ("# noqa: GLM003", []),
        ("# noqa: GLM001, GLM003  # why", []),
        ("# noqa: GLM001 GLM003", []),
        ("# noqa", []),
        ("# NOQA: glm003", []),
        ("# noqa: GLM004", ["GLM003"]),
        ("# noqa: E501", ["GLM003"]),
        ("; '# noqa'", ["GLM003"]),
    ],
)
def test_noqa(comment: str, left: list[str]) -> None:
    assert codes(f"os.write('x')  {comment}") == left


@pytest.mark.parametrize(
    "text", ["def (", "x = '\0'", "(" * 5000, "\n".join(" " * n + "if x:" for n in range(3000))]
)
def test_what_is_no_python(text: str) -> None:
    with pytest.raises(SyntaxError):
        check(text)


@pytest.mark.parametrize("lines", ["x = " + "-" * 90 + "1", "(" * 90 + "1" + ")" * 90])
def test_deep_code_is_checked(lines: str) -> None:
    assert codes(lines) == []


def test_code_that_is_too_deep_for_the_rules_is_refused() -> None:
    deep = ".x" * (sys.getrecursionlimit() * 2)
    try:
        found = codes(f"arg{deep}")
    except SyntaxError as error:
        found = []
        assert "recursion" in error.msg  # noqa: PT017  # either is right, and depends on the interpreter
    assert found == []


def test_classes_that_inherit_from_each_other_end() -> None:
    text = "from golem_sdk import agent\nclass A(B): pass\n@agent\nclass B(A): pass\n"
    assert check(text) == []
