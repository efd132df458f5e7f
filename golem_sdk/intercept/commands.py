"""What is stored of a command line, and what of it is compared on replay.

Arguments are stored, but for those that look like secrets: the value of an option or a variable whose
name says so (``--password x``, ``--api-key=x``, ``TOKEN=x``), and what is secret in a URL. Those are not
compared, so that they can be rotated while an agent sleeps. Neither is where this Python is:
``sys.executable`` may move, and temporary files have other names in each life. What the process is given as
input is stored by size and hash, its environment not at all.

Does not cover: secrets elsewhere in a command, ``-psecret``, and quoted ones with spaces in a shell's
command.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from attrs import frozen

from golem_sdk.core.redaction import (
    fingerprint_of_secret,
    names_secret,
    stored_url,
    without_url_secrets,
)
from golem_sdk.intercept.temporary import without_temporary_names

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Command", "describe_command", "describe_data"]

_SPACES = re.compile(r"(\s+)")
_BLANK = "<redacted>"


@frozen
class Command:
    """A command as the oplog knows it.

    Attributes:
        request: what is stored, free of secrets.
        identity: what must be equal on replay.
    """

    request: dict[str, Any]
    identity: list[Any]


def describe_command(
    args: Any, shell: object = False, given: Any = None, cwd: Any = None
) -> Command:
    """What the oplog is to know of a process.

    Args:
        args: as for `subprocess.Popen`; what is no command is described by its type, and fails later.
        shell: whether it is for the shell.
        given: its input, if it is known at the start: text, bytes or None.
        cwd: where it runs, stored only.
    """
    request: dict[str, Any] = {"args": _words(args, fingerprint_of_secret, stored_url)}
    identity = _words(args, lambda _: _BLANK, _compared)
    if isinstance(identity, list):
        words = zip(args, identity, strict=True)
        identity = ["<python>" if _text(arg) == sys.executable else word for arg, word in words]
    if shell:
        request["shell"] = True
    if cwd is not None:
        request["cwd"] = _text(cwd)
    data = None if given is None else describe_data(given)
    if data is not None:
        request["input"] = data
    return Command(request, [identity, bool(shell), data])


def describe_data(data: Any) -> list[Any]:
    """What is stored, and compared, of data that a process is given: its size and its hash."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    try:
        data = bytes(memoryview(data))
    except TypeError:  # the call says so
        return [type(data).__name__]
    return [len(data), hashlib.sha256(data).hexdigest()[:16]]


def _words(args: Any, blank: Callable[[str], str], in_url: Callable[[str], str]) -> Any:
    if isinstance(args, str | bytes | os.PathLike):
        parts = _SPACES.split(_text(args))
        words = _blanked(parts[::2], blank, in_url)
        spaces = [*parts[1::2], ""]
        return "".join(word + space for word, space in zip(words, spaces, strict=True))
    if isinstance(args, list | tuple):
        return _blanked([_text(arg) for arg in args], blank, in_url)
    return _text(args)


def _blanked(
    words: list[str], blank: Callable[[str], str], in_url: Callable[[str], str]
) -> list[str]:
    stored = []
    secret = False  # whether the word before was an option whose value this one is
    for word in words:
        name, equals, value = word.partition("=")
        if secret and not word.startswith("-"):
            stored.append(blank(word))
        elif equals and value and names_secret(name.lstrip("-")):
            stored.append(f"{name}={blank(value)}")
        else:
            stored.append(in_url(word))
        secret = word.startswith("-") and not equals and names_secret(word.lstrip("-"))
    return stored


def _compared(word: str) -> str:
    return without_temporary_names(without_url_secrets(word))


def _text(value: Any) -> str:
    if isinstance(value, str | bytes | os.PathLike):
        return os.fsdecode(value)
    return f"<{type(value).__name__}>"
