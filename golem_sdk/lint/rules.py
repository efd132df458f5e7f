"""The rules: what each finds in agent code, why, and what to write instead."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator  # attrs classes are resolved at run time

from attrs import frozen

from golem_sdk.lint import names, shapes
from golem_sdk.lint.module import Part

__all__ = ["RULES", "Found", "Rule"]

Found = tuple[ast.AST, str]
"""Where something was found, and what it is, in the words that are shown."""

_DURABLE = "put it into a function decorated with @durable"


@frozen
class Rule:
    """One row.

    Attributes:
        code: stable; it is never given to another rule.
        finds: what it finds, for the list of rules.
        why: what replay makes of it.
        fix: what to write instead.
        check: what it finds in a part of agent code.
        bad, good: lines of an async method of an agent: found, and corrected.
    """

    code: str
    finds: str
    why: str
    fix: str
    check: Callable[[Part], Iterator[Found]]
    bad: str
    good: str


def _calls(known: frozenset[str]) -> Callable[[Part], Iterator[Found]]:
    def check(part: Part) -> Iterator[Found]:
        for call, name in part.calls():
            if name in known:
                yield call, f"{name.removeprefix('builtins.')}()"

    return check


RULES = (
    Rule(
        "GLM001",
        "clocks and timers that are not intercepted",
        "replay gets another time than the first run",
        "use time or datetime, which are intercepted",
        _calls(names.CLOCKS),
        "import os\nreturn os.times().user",
        "import time\nreturn time.process_time()",
    ),
    Rule(
        "GLM002",
        "entropy that is not intercepted",
        "replay draws something else than the first run",
        "use random, secrets, uuid or numpy.random, which are intercepted, or seed the generator with a "
        "number from there",
        _calls(names.DRAWS),
        "import ssl\nreturn ssl.RAND_bytes(8)",
        "import os\nreturn os.urandom(8)",
    ),
    Rule(
        "GLM003",
        "writes to files past the functions that are intercepted",
        "they are not recorded, and done again at every replay",
        "write with open(), pathlib, os or shutil by the file's path, which is intercepted",
        _calls(names.FILE_WRITES),
        "import os\nos.write(3, b'done')",
        "with open('report.txt', 'w') as file:\n    file.write('done')",
    ),
    Rule(
        "GLM004",
        "questions to the file system that are not intercepted",
        "the answer is not recorded, and may be another one in replay",
        "ask with open(), pathlib or os by the file's path, which is intercepted, or " + _DURABLE,
        _calls(names.FILE_READS),
        "import linecache\nreturn linecache.getline('names.txt', 1)",
        "with open('names.txt') as file:\n    return file.readline()",
    ),
    Rule(
        "GLM005",
        "network connections past every interceptor",
        "what goes over them is not recorded, and done again at every replay",
        "use a client that is intercepted (golem doctor lists them), or " + _DURABLE,
        _calls(names.NETWORK),
        "import socket\nreturn socket.create_connection(('localhost', 80))",
        "import urllib.request\nreturn urllib.request.urlopen('http://localhost').read()",
    ),
    Rule(
        "GLM006",
        "threads that threading does not know",
        "what they do is not recorded, and done again at every replay",
        "use threading, concurrent.futures or asyncio.to_thread(...), whose threads are the agent's own",
        _calls(names.THREADS),
        "import _thread\n_thread.start_new_thread(print, ())",
        "import threading\nthreading.Thread(target=print).start()",
    ),
    Rule(
        "GLM007",
        "forks, and processes that subprocess does not start",
        "nothing could bring them back",
        "use subprocess, which is intercepted, or " + _DURABLE,
        _calls(names.PROCESSES),
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
        "import subprocess\nsubprocess.run(['true'], check=True)",
    ),
    Rule(
        "GLM008",
        "the order of a set",
        "it is another one in a process with another PYTHONHASHSEED",
        "sort it first: sorted(...), or use a dict or a list, which keep their order",
        shapes.set_order,
        "for name in {'a', 'b'}:\n    save(name, '')",
        "for name in sorted({'a', 'b'}):\n    save(name, '')",
    ),
    Rule(
        "GLM009",
        "results of id() and hash()",
        "they differ from process to process",
        "use a key of your own, or hashlib for a checksum",
        shapes.identities,
        "return id(self)",
        "import hashlib\nreturn hashlib.sha256(b'me').hexdigest()",
    ),
    Rule(
        "GLM010",
        "changes of a module's or a class's variables",
        "other agents of this process see them, a restart loses them, and replay makes them again",
        "keep it in the agent (self...), which replay rebuilds, or in a database",
        shapes.shared_state,
        "SEEN.append(1)",
        "self.seen = [1]",
    ),
    Rule(
        "GLM011",
        "coroutines that nobody awaits",
        "they never run",
        "write await before it, or asyncio.create_task(...) and await that later",
        shapes.not_awaited,
        "self.other()",
        "await self.other()",
    ),
    Rule(
        "GLM012",
        "handlers that swallow the signals with which an agent is suspended or stopped",
        "the code runs on although the agent is to stop",
        "catch Exception, or end the handler with raise; do not return, break or continue in finally",
        shapes.swallowed,
        "try:\n    save('a', 'b')\nexcept BaseException:\n    pass",
        "try:\n    save('a', 'b')\nexcept Exception:\n    pass",
    ),
    Rule(
        "GLM013",
        "reads of environment variables, the command line and standard input",
        "they are not recorded, and may be others in replay",
        "give the agent an argument, or read it in a function decorated with "
        "@durable(function_type=FunctionType.READ_LOCAL)",
        shapes.environment_reads,
        "import os\nreturn os.environ['REGION']",
        "return region()",
    ),
    Rule(
        "GLM014",
        "changes of the process: environment variables, working directory, locale",
        "all agents of the process see them, and replay makes them again",
        "give a subprocess its env= and cwd=, and other code arguments",
        shapes.environment_writes,
        "import os\nos.environ['TZ'] = 'UTC'",
        "import subprocess\nsubprocess.run(['date'], env={'TZ': 'UTC'}, check=True)",
    ),
    Rule(
        "GLM015",
        "functools caches of functions that make durable calls",
        "the first agent of a process records the calls, the others find the result cached: replay in "
        "another process diverges",
        "use golem_sdk.durable_cached, which keeps a cache for each agent",
        shapes.process_caches,
        "return token()",
        "return agent_token()",
    ),
    Rule(
        "GLM016",
        "compiled code called through ctypes or cffi",
        "what it does is neither recorded nor noticed",
        "load it at the top of a module, and put calls that touch the outside into a function decorated with "
        "@durable",
        _calls(names.COMPILED),
        "import ctypes\nreturn ctypes.CDLL(None).getpid()",
        "import os\nreturn os.getpid()",
    ),
)
