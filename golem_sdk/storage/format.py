"""The version of a whole store, kept in it as a record of `Space.META` by every engine."""

from __future__ import annotations

import re
from typing import Final

from golem_sdk.errors import StoreCorruptError, StoreVersionError
from golem_sdk.storage.base import Space
from golem_sdk.storage.records import open_record, seal

__all__ = ["FORMAT", "FORMAT_KEY", "check_format", "format_record"]

FORMAT: Final = 1
"""What this version of golem_sdk writes, and the newest that it reads."""

FORMAT_KEY: Final = b"format"
_NUMBER: Final = re.compile(rb"[1-9][0-9]{0,8}")


def format_record() -> bytes:
    """The sealed record to put under `FORMAT_KEY` into a new store."""
    return seal(Space.META, FORMAT_KEY, str(FORMAT).encode())


def check_format(record: bytes | None, store: object) -> None:
    """Check the sealed ``record`` found under `FORMAT_KEY` in ``store`` (named in errors).

    Raises:
        StoreVersionError: the store has a newer format.
        StoreCorruptError: there is no such record, or it is damaged.
    """
    if record is None:
        raise StoreCorruptError(
            f"store {store} does not say what format it has: it is damaged, or not a store of "
            "golem_sdk. Nothing was changed. Restore it from a backup, or choose another path",
            Space.META.name,
            FORMAT_KEY,
        )
    text = open_record(Space.META, FORMAT_KEY, record)
    if not _NUMBER.fullmatch(text):
        raise StoreCorruptError(
            f"store {store} says {text[:20]!r} where its format should be: it is damaged. Nothing was "
            "changed. Restore it from a backup",
            Space.META.name,
            FORMAT_KEY,
        )
    version = int(text)
    if version > FORMAT:
        raise StoreVersionError(
            f"store {store} has format {version}, this version of golem_sdk knows formats up to "
            f"{FORMAT}: upgrade golem_sdk. Nothing was changed"
        )
