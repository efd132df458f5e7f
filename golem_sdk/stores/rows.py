"""Rows of plain fields: making them, and paging through a space with damage set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgpack import Packer

from golem_sdk.codec.values import decode
from golem_sdk.core.entries import LATEST_NS, Payload, PayloadRef
from golem_sdk.errors import DecodingError, StoreCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from golem_sdk.storage.base import Engine, Row, Space

__all__ = ["damaged", "pack_row", "payload_of", "plain_payload", "rows", "unpack_row"]

_PAGE = 256
_DIGEST_BYTES = 32


def pack_row(fields: Sequence[object]) -> bytes:
    """The value of a record with these plain fields (text, numbers, bytes, lists), for `decode`.

    These fields are the runtime's own: the codec's look for values that cannot be stored is spared.
    """
    packed: bytes = Packer(strict_types=True, unicode_errors="surrogatepass").pack(fields)
    return packed


def unpack_row(space: Space, key: bytes, row: bytes, types: Sequence[type[Any]]) -> list[Any]:
    """The fields of a row: exactly these types, or fewer where a reader has defaults for the rest.

    Numbers are not negative and have at most 63 bits. Nothing but plain values is looked at: a row that was
    forged may hold whatever `decode` can read.

    Raises:
        StoreCorruptError: the row holds something else.
    """
    try:
        fields = decode(row)
    except DecodingError as error:
        raise damaged(space, key, str(error)) from None
    if type(fields) is not list or len(fields) > len(types):
        raise damaged(space, key, f"not a list of at most {len(types)} fields")
    for number, (field, kind) in enumerate(zip(fields, types, strict=False)):
        fits = kind is object or type(field) is kind
        if not fits or (kind is int and not 0 <= field <= LATEST_NS):
            raise damaged(space, key, f"field {number} is no {kind.__name__} that can be there")
    return fields


def damaged(space: Space, key: bytes, why: str) -> StoreCorruptError:
    """The error for a record whose checksum is right, but which is not what golem_sdk writes there."""
    return StoreCorruptError(f"a damaged {space.name} record under {key!r}: {why}", space.name, key)


def plain_payload(payload: Payload) -> object:
    """A payload as the field of a row."""
    return payload if isinstance(payload, bytes) else [payload.sha256, payload.size_bytes]


def payload_of(field: object) -> Payload | None:
    """The payload in a field of a row, ``None`` if it is none."""
    if type(field) is bytes:
        return field
    if type(field) is list and [type(part) for part in field] == [bytes, int]:
        digest, size = field
        if len(digest) == _DIGEST_BYTES and 0 <= size <= LATEST_NS:
            return PayloadRef(digest, size)
    return None


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
