"""Paging through a space, with damage set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golem_sdk.errors import StoreCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from golem_sdk.storage.base import Engine, Row, Space

__all__ = ["rows"]

_PAGE = 256


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
