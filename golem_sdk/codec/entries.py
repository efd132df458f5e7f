"""Runs of oplog entries to bytes and back.

A chunk is the entries of one commit: format version (1 byte), kinds (one byte per entry, then a zero
byte), then a msgpack list of bodies, each the entry's fields in order. A reader that only plans looks at
the kinds. An archived chunk has another version and the entries of many commits, its list deflated.
Fields may be added at the end of an entry if they have a default; numbers and meanings never change.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any
from zlib import compress, decompressobj
from zlib import error as zlib_error

import attrs
import msgpack

from golem_sdk.codec.bounds import MAX_WEIGHT, promises_much, weigh
from golem_sdk.codec.codes import shown
from golem_sdk.core.entries import ENTRY_KINDS, KIND_OF, Entry, OplogRegion, PayloadRef
from golem_sdk.errors import DecodingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "FORMAT_VERSION",
    "MOST_ARCHIVED",
    "SMALL_CHUNK",
    "chunk_kinds",
    "decode_chunk",
    "decode_small_chunks",
    "encode_archive",
    "encode_chunk",
    "entry_fields",
    "is_archived",
]

FORMAT_VERSION = 1
ARCHIVE_VERSION = 2
_VERSION = bytes([FORMAT_VERSION])
_ARCHIVED = bytes([ARCHIVE_VERSION])
_END = b"\0"  # of the kinds: no kind has the number 0

SMALL_CHUNK = 1_024
"""Bytes of a chunk that may be decoded together with others."""

MOST_ARCHIVED = 1 << 20
"""Bytes of chunks that may be archived together."""

_MOST_INFLATED = MOST_ARCHIVED + 16
_LEVEL = 1  # of compression: higher ones take much longer for a little less

_REF = 1
_REGION = 2
_DIGEST_BYTES = 32
_LONGEST_EXTENSION = 64
_LONGEST_PART = 1_024  # fields of an entry, or interceptors of which one names the versions

_FIELDS: dict[type[Entry], Callable[[Any], Any]] = {
    kind.entry_class: attrgetter(*names)
    if len(names := [a.name for a in attrs.fields(kind.entry_class)]) > 1
    else (lambda entry: (entry.timestamp,))
    for kind in ENTRY_KINDS.values()
}
_CLASS_OF = {code: kind.entry_class for code, kind in ENTRY_KINDS.items()}
_SHAPES: dict[tuple[object, ...], type[Entry]] = {}
"""Kinds with types of fields that were found right before: in what we write there are but a few."""
_MOST_SHAPES = 256
_TYPES_OF: dict[int, tuple[tuple[type, ...], ...]] = {}


def entry_fields(entry: Entry) -> dict[str, Any]:
    """The entry's fields by name, in order, undecoded."""
    return {a.name: getattr(entry, a.name) for a in attrs.fields(type(entry))}


def encode_chunk(entries: Sequence[Entry]) -> bytes:
    """The bytes of a run of entries.

    Raises:
        TypeError: a field holds something that is no plain value, payload or region.
    """
    kinds = bytes([KIND_OF[type(entry)].code for entry in entries])
    bodies = [_FIELDS[type(entry)](entry) for entry in entries]
    # A log line may hold anything, also halves of surrogate pairs, as values may.
    packer = msgpack.Packer(default=_pack_other, unicode_errors="surrogatepass")
    packed: bytes = packer.pack(bodies)
    return _VERSION + kinds + _END + packed


def encode_archive(chunks: Sequence[bytes]) -> bytes:
    """One archived chunk with the entries of several that follow each other and are not archived yet.

    Raises:
        ValueError: they are longer than `MOST_ARCHIVED`: nobody could read them again.
        DecodingError: one of them is no such chunk.
    """
    if sum(map(len, chunks)) > MOST_ARCHIVED:
        raise ValueError(f"more than {MOST_ARCHIVED} bytes of oplog entries to archive together")
    kinds = [chunk_kinds(data) for data in chunks]
    bodies = [_bodies(data, len(some)) for data, some in zip(chunks, kinds, strict=True)]
    together = b"".join(kinds)
    header: bytes = msgpack.Packer().pack_array_header(len(together))
    return _ARCHIVED + together + _END + compress(header + b"".join(bodies), _LEVEL)


def is_archived(data: bytes) -> bool:
    """Whether a chunk is an archived one."""
    return data[:1] == _ARCHIVED


def _bodies(data: bytes, count: int) -> bytes:
    """The bodies in a chunk of so many entries, without the head of their list."""
    header = msgpack.Packer().pack_array_header(count)
    start = 2 + count
    if data[:1] != _VERSION or not data.startswith(header, start):
        raise DecodingError("not a chunk of oplog entries that can be archived")
    return data[start + len(header) :]


def chunk_kinds(data: bytes) -> bytes:
    """The kind numbers of a chunk's entries, without decoding them.

    Raises:
        DecodingError: not a chunk, or one of a newer format.
    """
    if not data:
        raise DecodingError("not a chunk of oplog entries: empty")
    if data[0] not in (FORMAT_VERSION, ARCHIVE_VERSION):
        raise DecodingError(f"oplog format {data[0]} is not known to this version of golem_sdk")
    end = data.find(_END)
    if end < 0:
        raise DecodingError("not a chunk of oplog entries: truncated")
    return data[1:end]


def decode_chunk(data: bytes, kinds: bytes | None = None) -> list[Entry]:
    """The entries of a chunk, whose ``kinds`` may be known already.

    Raises:
        DecodingError: not a chunk, or one of a newer format.
    """
    if kinds is None:
        kinds = chunk_kinds(data)
    packed = data[len(kinds) + 2 :]
    if is_archived(data):
        packed = _inflated(packed)
    longest = max(len(kinds), _LONGEST_PART)
    if promises_much(packed, longest) and weigh(packed) > MAX_WEIGHT:
        raise DecodingError("not a chunk of oplog entries: more is promised in it than there is")
    try:
        bodies = msgpack.unpackb(packed, max_array_len=longest, max_map_len=longest, **_OPTIONS)
    except Exception as error:
        raise DecodingError(f"not a chunk of oplog entries: {shown(str(error))}") from error
    return list(_entries(kinds, bodies))


def _inflated(packed: bytes) -> bytes:
    inflating = decompressobj()
    try:
        found = inflating.decompress(packed, _MOST_INFLATED)
    except zlib_error as error:
        raise DecodingError(f"not a chunk of oplog entries: {error}") from None
    if not inflating.eof or inflating.unused_data:
        raise DecodingError("not a chunk of oplog entries: too long, or not whole")
    return found


def decode_small_chunks(chunks: Sequence[tuple[bytes, bytes]]) -> list[Entry]:
    """The entries of chunks of at most `SMALL_CHUNK` bytes, given as kinds and bytes, in less time.

    Raises:
        DecodingError: one of them is not a chunk; `decode_chunk` tells which.
    """
    bodies = [data[len(kinds) + 2 :] for kinds, data in chunks]
    unpacker = msgpack.Unpacker(max_array_len=SMALL_CHUNK, max_map_len=SMALL_CHUNK, **_OPTIONS)
    unpacker.feed(b"".join(bodies))
    found: list[Entry] = []
    end = 0
    for (kinds, _), body in zip(chunks, bodies, strict=True):
        end += len(body)
        try:
            found += _entries(kinds, unpacker.unpack())
        except Exception as error:
            raise DecodingError(f"not a chunk of oplog entries: {shown(str(error))}") from error
        if unpacker.tell() != end:
            raise DecodingError("not a chunk of oplog entries: it does not end where it should")
    return found


def _entries(kinds: bytes, bodies: Any) -> Iterator[Entry]:
    if not isinstance(bodies, tuple) or len(kinds) != len(bodies):
        raise DecodingError("not a chunk of oplog entries: kinds and bodies do not match")
    return map(_entry, kinds, bodies)


def _entry(code: int, body: Any) -> Entry:
    try:
        shape = (code, *map(type, body))
        entry_class = _SHAPES.get(shape) or _checked(code, body, shape)
        return entry_class(*body)
    except TypeError as error:  # the body is no list, or too short
        name = _CLASS_OF[code].__name__ if code in _CLASS_OF else f"kind {code}"
        raise DecodingError(f"damaged {name} entry: {error}") from None


def _checked(code: int, body: tuple[Any, ...], shape: tuple[object, ...]) -> type[Entry]:
    entry_class = _CLASS_OF.get(code)
    if entry_class is None:
        raise DecodingError(f"oplog entry kind {code} is not known to this version of golem_sdk")
    if not all(
        type(field) in kinds
        for field, kinds in zip(body, _types_of(code, entry_class), strict=False)
    ):
        raise DecodingError(f"damaged {entry_class.__name__} entry: {shown(repr(body))}")
    if len(_SHAPES) < _MOST_SHAPES:
        _SHAPES[shape] = entry_class
    return entry_class


def _types_of(code: int, entry_class: type[Entry]) -> tuple[tuple[type, ...], ...]:
    types = _TYPES_OF.get(code)
    if types is None:
        types = tuple(_FIELD_TYPES[str(a.type)] for a in attrs.fields(entry_class))
        _TYPES_OF[code] = types
    return types


_FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "bool": (bool,),
    "str": (str,),
    "bytes": (bytes,),
    "OplogIndex": (int,),
    "Payload": (bytes, PayloadRef),
    "OplogRegion": (OplogRegion,),
    "dict[str, int]": (dict,),
}


def _pack_other(value: object) -> msgpack.ExtType:
    match value:
        case PayloadRef(sha256, size_bytes):
            return msgpack.ExtType(_REF, msgpack.packb((sha256, size_bytes)))
        case OplogRegion(start, end):
            return msgpack.ExtType(_REGION, msgpack.packb((start, end)))
    raise TypeError(f"an oplog entry cannot hold a {type(value).__name__}")


def _unpack_other(code: int, data: bytes) -> PayloadRef | OplogRegion:
    if len(data) > _LONGEST_EXTENSION:
        raise ValueError(f"an extension of {len(data)} bytes")
    first, second = msgpack.unpackb(data, use_list=False)
    if type(second) is int and second >= 0:
        if code == _REF and type(first) is bytes and len(first) == _DIGEST_BYTES:
            return PayloadRef(first, second)
        if code == _REGION and type(first) is int and first >= 0:
            return OplogRegion(first, second)
    raise ValueError(f"extension {code} is none of an oplog")


def _unpack_pairs(pairs: list[tuple[Any, Any]]) -> dict[str, int]:
    """The only dicts in entries: versions of interceptors."""
    found = dict(pairs)
    if len(found) != len(pairs) or any((type(k), type(v)) != (str, int) for k, v in pairs):
        raise ValueError("a dict that is none of an oplog")
    return found


_OPTIONS: dict[str, Any] = {
    "ext_hook": _unpack_other,
    "object_pairs_hook": _unpack_pairs,
    "use_list": False,
    "unicode_errors": "surrogatepass",
}
