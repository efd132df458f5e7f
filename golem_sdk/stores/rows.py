"""Rows of plain fields: making them, and paging through a space with damage set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgpack

from golem_sdk.errors import StoreCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from golem_sdk.storage.base import Engine, Row, Space

__all__ = ["pack_row", "rows"]

_PAGE = 256


def pack_row(fields: Sequence[object]) -> bytes:
    """The value of a record with these plain fields (text, numbers, bytes, lists), for `decode`.

    These fields are the runtime's own: the codec's look for values that cannot be stored is spared.
    """
    packed: bytes = msgpack.packb(fields, strict_types=True, unicode_errors="surrogatepass")
    return packed


def rows(
    engine: Engine,
    space: Space,
    lo: bytes,
    hi: bytes | None,
    on_damage: Callable[[StoreCorruptError], object] | None = None,
) -> Iterator[Row]:
    """The rows with ``lo <= key < hi``, in order; later pages may be newer than earlier ones.

    Args:
        engine: the store.
        space: where to look.
        lo: the first key.
        hi: the key to stop before; ``None``: go to the end.
        on_damage: told of each damaged record, which is then passed over.

    Raises:
        StoreCorruptError: a record is damaged and there is no ``on_damage``, or its key is not known.
    """
    while True:
        try:
            page = engine.scan(space, lo, hi, limit=_PAGE)
        except StoreCorruptError as error:
            if on_damage is None or not error.key:
                raise
            yield from rows(engine, space, lo, error.key)
            on_damage(error)
            lo = error.key + b"\0"
            continue
        yield from page
        if len(page) < _PAGE:
            return
        lo = page[-1][0] + b"\0"
