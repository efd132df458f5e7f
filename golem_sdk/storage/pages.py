"""Reads the pages of an LMDB data file without LMDB: what is broken is named, and nothing can crash.

For files that LMDB would refuse, or die of. Trusts nothing: every page number, length and offset is
checked, every page is visited once, and whoever uses what is found must check its checksums. Layout:
`MDB_page`, `MDB_node` and `MDB_db` of LMDB 0.9, 64 bit, native byte order.
"""

from __future__ import annotations

import os
import struct
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Self

from golem_sdk.storage.base import KEY_LIMIT, VALUE_LIMIT
from golem_sdk.storage.records import OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from golem_sdk.storage.base import Row
    from golem_sdk.storage.data_file import Meta

__all__ = ["PageReader"]

_HEADER: Final = struct.Struct("=QHHHH")  # mp_pgno, mp_pad, mp_flags, mp_lower, mp_upper
_NODE: Final = struct.Struct("=HHHH")  # mn_lo, mn_hi (big-endian: the reverse), mn_flags, mn_ksize
_NUMBER: Final = struct.Struct("=Q")
_BRANCH, _LEAF = 0x01, 0x02
_TYPES: Final = 0x6F
_ELSEWHERE, _DATABASE = 0x01, 0x02  # F_BIGDATA, F_SUBDATA
_DATABASE_SIZE: Final = 48
_ROOT_AT: Final = 40  # md_root
_NO_ROOT: Final = 2**64 - 1
_DEEPEST: Final = 32  # CURSOR_STACK

_Node = tuple[bytes, int, bytes]
"""A key, the node's flags (of a leaf) or the child's number (of a branch), the node's data."""


class PageReader:
    """The trees of data file ``path``, as the transaction of ``meta`` left them. A context manager."""

    def __init__(self, path: Path, meta: Meta) -> None:
        self._size = meta.page_size
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._pages = min(meta.last_page + 1, os.fstat(self._descriptor).st_size // self._size)
        self._root = meta.root

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def rows(self, name: bytes | None) -> Iterator[Row | str]:
        """The rows of database ``name``, as they lie; where some are missing, what is broken, as text.

        ``None``: those of the unnamed database that do not name another one.
        """
        if name is None:
            own = (n for n in self._walk(self._root) if isinstance(n, str) or not n[1] & _DATABASE)
            yield from self._rows(own)
            return
        root = None
        for node in self._walk(self._root):
            if isinstance(node, str):
                yield f"names of spaces: {node}"
            elif node[0] == name and node[1] & _DATABASE and len(node[2]) == _DATABASE_SIZE:
                (root,) = _NUMBER.unpack_from(node[2], _ROOT_AT)
        if root is None:
            yield "the space is not listed"
        elif root != _NO_ROOT:
            yield from self._rows(self._walk(root))

    def _rows(self, nodes: Iterator[_Node | str]) -> Iterator[Row | str]:
        for node in nodes:
            if isinstance(node, str):
                yield node
                continue
            key, flags, data = node
            if flags & _ELSEWHERE:
                value = self._elsewhere(data)
                yield f"a long value under {key[:60]!r} is gone" if value is None else (key, value)
            else:
                yield key, data

    def _elsewhere(self, node: bytes) -> bytes | None:
        length = int.from_bytes(node[:4], sys.byteorder)
        (number,) = _NUMBER.unpack_from(node, 4)
        if length > VALUE_LIMIT + OVERHEAD or not 2 <= number < self._pages:
            return None
        value = os.pread(self._descriptor, length, number * self._size + _HEADER.size)
        return value if len(value) == length else None

    def _walk(self, root: int) -> Iterator[_Node | str]:
        """The leaf nodes below page ``root`` in order; texts where something is broken."""
        seen = bytearray(self._pages)
        pending: list[tuple[int, bytes, bytes | None, int]] = [(root, b"", None, 0)]
        while pending:
            number, lo, hi, depth = pending.pop()
            if not 2 <= number < self._pages or seen[number] or depth > _DEEPEST:
                yield f"page {number} cannot be where it is said to be"
                continue
            seen[number] = 1
            page = os.pread(self._descriptor, self._size, number * self._size)
            kind = self._kind(number, page)
            if kind is None:
                yield f"page {number} is damaged"
                continue
            nodes = list(self._nodes(number, page, kind))
            if kind == _LEAF:
                yield from _within(number, nodes, lo, hi)
                continue
            children, problems = _children(number, nodes, lo, hi, depth)
            yield from problems
            pending += reversed(children)

    def _kind(self, number: int, page: bytes) -> int | None:
        if len(page) < self._size:
            return None
        own, _, flags, lower, upper = _HEADER.unpack_from(page)
        kind: int = flags & _TYPES
        sane = own == number and kind in (_BRANCH, _LEAF)
        return kind if sane and _HEADER.size <= lower <= upper <= self._size else None

    def _nodes(self, number: int, page: bytes, kind: int) -> Iterator[_Node | str]:
        lower = _HEADER.unpack_from(page)[3]
        for at in range(_HEADER.size, lower - 1, 2):
            (start,) = struct.unpack_from("=H", page, at)
            if start + _NODE.size > self._size:
                yield f"a row of page {number} is damaged"
                continue
            low, high, flags, key_size = _NODE.unpack_from(page, start)
            if sys.byteorder == "big":
                low, high = high, low
            begin = start + _NODE.size + key_size
            key = page[start + _NODE.size : begin]
            if kind == _BRANCH:
                yield key, low | high << 16 | flags << 32, b""
                continue
            length = low | high << 16
            elsewhere = flags & _ELSEWHERE
            end = begin + (_NUMBER.size if elsewhere else length)
            if not 0 < key_size <= KEY_LIMIT or end > self._size:
                yield f"a row of page {number} is damaged"
                continue
            data = page[begin:end]
            prefix = length.to_bytes(4, sys.byteorder) if elsewhere else b""
            yield key, flags, prefix + data


def _within(
    number: int, nodes: list[_Node | str], lo: bytes, hi: bytes | None
) -> Iterator[_Node | str]:
    """The nodes of a leaf whose keys belong on it; another text for each that does not."""
    for node in nodes:
        if isinstance(node, str) or (lo <= node[0] and (hi is None or node[0] < hi)):
            yield node
        else:
            yield f"page {number} has rows of another page"


def _children(
    number: int, nodes: list[_Node | str], lo: bytes, hi: bytes | None, depth: int
) -> tuple[list[tuple[int, bytes, bytes | None, int]], list[str]]:
    """The pages below a branch, each with the keys between which its own must lie."""
    sound = [node for node in nodes if not isinstance(node, str)]
    borders = [lo, *(node[0] for node in sound[1:])]
    orderly = len(sound) == len(nodes) and all(a < b for a, b in pairwise(borders))
    if orderly and (hi is None or borders[-1] < hi):
        ends = [*borders[1:], hi]
        items = zip(sound, borders, ends, strict=True)
        return [(node[1], begin, end, depth + 1) for node, begin, end in items], []
    # Which keys belong where is lost; the rows below tell it themselves.
    pages = [(node[1], lo, hi, depth + 1) for node in sound]
    return pages, [f"page {number} is out of order"]
