"""Values to bytes and back: exact or an error, bounded, nothing executable (K1, P6, S2).

The frame is msgpack. Plain values (None, bool, int, float, str, bytes, list, dict) take msgpack's
own path; every other type is *lowered* to an extension code with a body (`tables.py` lists them
all) and *raised* again when read. Classes are stored by name and looked up among the modules that
are already imported; reading never imports and never runs a constructor, a validator or a property.
The only code of a stored class that reading can reach is ``__hash__`` and ``__eq__``, when the
object was the key of a dict or the element of a set.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgpack
from msgpack import Packer, unpackb

from golem_sdk.codec.bounds import (
    CONTAINER_WEIGHT,
    ENTRY_WEIGHT,
    MAX_WEIGHT,
    extra_weight,
    may_be_heavy,
    weigh,
)
from golem_sdk.codec.codes import Code, Malformed, Refused
from golem_sdk.errors import DecodingError, EncodingError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["MAX_DEPTH", "decode", "encode"]

MAX_DEPTH = 64
"""Levels of nesting. A list or dict is one level, any other container or object two or three."""

_C_STACK_LEVELS = 4  # unpackb keeps 40 KiB of C stack per level; deeper levels use the heap

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_CONTAINER_MARKS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
_BYTES_MARKS = bytes(range(0xC4, 0xC7))
_EXTENSION_MARKS = bytes([*range(0xC7, 0xCA), *range(0xD4, 0xD9)])
_ALL_MARKS = _CONTAINER_MARKS + _BYTES_MARKS + _EXTENSION_MARKS
_FLAT_MARKS = bytes(range(0x80, 0xA0)) + _BYTES_MARKS  # of short lists and dicts, and of bytes
_HARMLESS = bytes(b for b in range(256) if b not in _ALL_MARKS)

UNENCODABLE = (Refused, ValueError, OverflowError, TypeError, RecursionError)
"""What encoding fails with inside the codec: its own signal, and msgpack's errors."""

_TOO_DEEP = f"it is nested deeper than {MAX_DEPTH} levels, or contains itself"
_TOO_DEEP_REMEDY = "Flatten it, or store the parts separately and refer to them by key."
_TOO_HEAVY = f"it has too many parts (weight over {MAX_WEIGHT:,})"
_TOO_HEAVY_REMEDY = "Store it in parts, as bytes, or as a numpy array."

_SAME_KEY_TWICE = "a dict has the same key twice"

_Seen = dict[int, tuple[Any, Code, Any]]  # id -> object (kept alive), its code, its body


def encode(value: object) -> bytes:
    """Give the bytes of `value`; equal values of equal types give equal bytes in every process.

    Sets are ordered by their elements' bytes, dicts keep their order.

    Raises:
        EncodingError: some part of the value cannot be stored exactly; it names the part and the
            remedy. Nothing is stored approximately.
    """
    try:
        return pack_checked(value)
    except UNENCODABLE as error:
        failure = error
    from golem_sdk.codec.paths import blame  # only when something failed

    refusal, path = blame(value, failure, pack_checked)
    kind = type(refusal.value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    message = f"{path} ({name}) cannot be stored: {refusal.reason}. {refusal.remedy}"
    raise EncodingError(message, path, name) from None


def decode(data: bytes) -> Any:
    """Give the value that `encode` made these bytes from.

    Imports nothing by name and constructs nothing through user code; arbitrary bytes give a value
    or the error, within bounded memory.

    Raises:
        DecodingError: the bytes are damaged, too large or too deep, of an unknown format, or name a
            class or field that this process does not have.
    """
    try:
        if may_be_heavy(data) and weigh(data) > MAX_WEIGHT:
            raise DecodingError(f"stored value has too many parts (weight over {MAX_WEIGHT:,})")
        marks = data.translate(None, _HARMLESS)
        if len(marks) <= 1 and not marks.translate(None, _FLAT_MARKS):
            return _decode_flat(data)
        decoder = _Decoder()
        value = decoder.unpack(data)
        if len(marks) > MAX_DEPTH or (
            marks.translate(None, _CONTAINER_MARKS) and _may_hold_timestamp(data)
        ):
            survey = _Survey(value, decoder.raised or {})
            if survey.foreign:
                raise DecodingError(
                    "stored value contains an extension that golem_sdk never writes"
                )
    except DecodingError:
        raise
    except Refused as refusal:
        raise DecodingError(f"stored value cannot be read: {refusal.reason}") from None
    except Exception as error:  # hostile bytes may fail anywhere; callers see one type
        raise DecodingError(f"stored value is damaged: {type(error).__name__}: {error}") from error
    return value


def pack_checked(value: object) -> bytes:
    """Like `encode`, but fails with the codec's internal signals and msgpack's own errors."""
    encoder = Encoder()
    packed = encoder.pack(value)
    marks = packed.translate(None, _HARMLESS)
    if len(marks) <= MAX_DEPTH and not may_be_heavy(
        packed
    ):  # no more bytes than that even look like the start of a container
        opaque = marks.translate(None, _CONTAINER_MARKS)
        if not opaque:
            return packed
        if len(opaque) == encoder.lowered and not opaque.translate(None, _EXTENSION_MARKS):
            return packed  # every extension in it is one that the encoder made
    survey = _Survey(value, encoder.seen or {})
    if survey.weight > MAX_WEIGHT:
        raise Refused(value, _TOO_HEAVY, _TOO_HEAVY_REMEDY)
    if survey.foreign:
        encoder.careful = True
        packed = encoder.pack(value)
    return packed


class Encoder:
    """One encoding: packs plain values and lowers the others as msgpack meets them."""

    careful = False  # replace what msgpack would silently store as something else
    nesting = 0
    links = 0  # exceptions around the one being lowered
    lowered = 0
    seen: _Seen | None = None  # made when needed: most values are plain
    _exceptions: dict[tuple[int, int, bool], bytes] | None = None

    def pack(self, value: object) -> bytes:
        """Bytes of one value inside the one being encoded."""
        if self.careful:
            value = self._without_foreign(value)
        packer = Packer(default=self.lower, strict_types=True, unicode_errors="surrogatepass")
        packed: bytes = packer.pack(value)
        return packed

    def lower(self, value: Any) -> Any:
        """The extension for a value that msgpack does not know."""
        tables = _tables()
        if self.seen is None:
            self.seen = {}
        self.lowered += 1
        if self.nesting >= MAX_DEPTH:
            raise Refused(value, _TOO_DEEP, _TOO_DEEP_REMEDY)
        self.nesting += 1
        try:
            code, body = tables.hook_for(type(value))(value)
            if code is Code.EXCEPTION:
                return msgpack.ExtType(code, self._pack_exception(value))
            self.seen[id(value)] = (value, code, body)
            if type(body) is bytes:
                packed = body
            elif code is Code.SET or code is Code.FROZENSET:
                packed = self._pack_sorted(body)
            else:
                packed = self.pack(body)
        finally:
            self.nesting -= 1
        return msgpack.ExtType(code, packed)

    def accepts(self, value: object) -> bool:
        """Whether a part of an exception can be stored, at whatever depth the exception is."""
        try:
            self.pack(value)
            return _Survey(value, self.seen or {}).depth <= MAX_DEPTH // 4
        except UNENCODABLE:
            return False

    def _pack_exception(self, exc: BaseException) -> bytes:
        if self._exceptions is None:
            self._exceptions = {}
        key = (id(exc), self.links, self.careful)
        packed = self._exceptions.get(key)
        if packed is None:  # the same one is often cause, context and argument
            body = _tables().exception_body(exc, self)
            self.links += 1
            try:
                packed = self._exceptions[key] = self.pack(body)
            finally:
                self.links -= 1
            seen = {} if self.seen is None else self.seen
            # an exception may contain itself, one link further on: the body is measured only here
            seen[id(exc)] = (exc, Code.EXCEPTION, _Survey(body, seen))
            self.lowered = -1  # parts were tried before they were packed: do not trust the count
        return packed

    def _pack_sorted(self, elements: list[Any]) -> bytes:
        """A set's elements in the order of their bytes, which no hash seed can change."""
        header: bytes = Packer().pack_array_header(len(elements))
        return header + b"".join(sorted(map(self.pack, elements)))

    def _without_foreign(self, value: Any) -> Any:
        """A copy in which msgpack finds none of the types that it would store as something else."""
        kind = type(value)
        if kind is list:
            return [self._without_foreign(item) for item in value]
        if kind is dict:
            clean = self._without_foreign
            return {clean(key): clean(item) for key, item in value.items()}
        if kind is bytearray:
            return msgpack.ExtType(Code.BYTEARRAY, bytes(value))
        if kind in (memoryview, msgpack.ExtType, msgpack.Timestamp):
            raise Refused(value, f"a {kind.__name__} has no exact form", "Store it as bytes.")
        return value


def _decode_flat(data: bytes) -> Any:
    """The value of bytes that hold at most one list or dict, and that one short."""
    value = unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")
    if type(value) is dict and len(value) != data[0] & 0x0F:
        raise Malformed(_SAME_KEY_TWICE)
    return value


def _unique_pairs(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise Malformed(_SAME_KEY_TWICE)
    return mapping


class _Decoder:
    """One decoding: raises extensions as msgpack meets them."""

    nesting = 0
    raised: _Seen | None = None  # made when needed: most values are plain

    def unpack(self, data: bytes) -> Any:
        """The value of these bytes, which may be the body of an extension."""
        if self.nesting >= _C_STACK_LEVELS:
            return self._unpack_on_heap(data)
        return unpackb(
            data,
            ext_hook=self.extension,
            object_pairs_hook=_unique_pairs,
            strict_map_key=False,
            unicode_errors="surrogatepass",
        )

    def _unpack_on_heap(self, data: bytes) -> Any:
        """Like `unpack`, slower, with a few bytes of C stack."""
        unpacker = msgpack.Unpacker(
            read_size=max(len(data), 1),
            max_buffer_size=max(len(data), 1),
            ext_hook=self.extension,
            object_pairs_hook=_unique_pairs,
            strict_map_key=False,
            unicode_errors="surrogatepass",
        )
        unpacker.feed(data)
        value = unpacker.unpack()
        if unpacker.tell() != len(data):
            raise Malformed("extra bytes after a value")
        return value

    def extension(self, number: int, data: bytes) -> Any:
        entry = _tables().RAISE.get(number)
        if entry is None:
            raise DecodingError(
                f"stored value has the unknown extension code {number}: it was written by a newer "
                "golem_sdk, or is damaged. Upgrade golem_sdk"
            )
        code, is_raw, build = entry
        if self.nesting >= MAX_DEPTH:
            raise DecodingError(f"stored value is nested deeper than {MAX_DEPTH} levels")
        body: Any = data
        if not is_raw:
            self.nesting += 1
            try:
                body = self.unpack(data)
            finally:
                self.nesting -= 1
        value = build(body)
        if self.raised is None:
            self.raised = {}
        self.raised[id(value)] = (value, code, body)
        return value


class _Survey:
    """Depth, weight and unknown leaves of a value whose extensions are known (`seen`).

    Walks level by level, so that neither depth nor width can exhaust the Python stack.
    """

    def __init__(self, root: Any, seen: _Seen) -> None:
        self.weight = 0
        self.foreign = False
        self._seen = seen
        level = _compound((root,))
        self.depth = 0
        self._inside = 0  # depth within parts that were measured before
        while level:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise Refused(root, _TOO_DEEP, _TOO_DEEP_REMEDY)
            level = [part for node in level for part in self._parts(node)]
        self.depth = max(self.depth, self._inside)
        if self.depth > MAX_DEPTH:
            raise Refused(root, _TOO_DEEP, _TOO_DEEP_REMEDY)

    def _parts(self, node: Any) -> list[Any]:
        if type(node) is list:
            self.weight += CONTAINER_WEIGHT + len(node)
            return _compound(node)
        if type(node) is dict:
            self.weight += CONTAINER_WEIGHT + ENTRY_WEIGHT * len(node)
            return [*_compound(node), *_compound(node.values())]
        entry = self._seen.get(id(node))
        if entry is None:
            self.foreign = True
            return []
        _, code, body = entry
        if type(body) is _Survey:
            self.weight += CONTAINER_WEIGHT + body.weight
            self._inside = max(self._inside, self.depth + body.depth)
            self.foreign = self.foreign or body.foreign
            return []
        self.weight += CONTAINER_WEIGHT + extra_weight(code, len(body))
        return _compound((body,))


def _may_hold_timestamp(data: bytes) -> bool:
    """Whether ext -1 may be in it, which msgpack decodes without asking."""
    return b"\xd6\xff" in data or b"\xd7\xff" in data or b"\xc7\x0c\xff" in data


@cache
def _tables() -> ModuleType:
    """The tables of types, imported when the first value that is not plain comes by."""
    from golem_sdk.codec import tables

    return tables


def _compound(parts: Any) -> list[Any]:
    return [part for part in parts if type(part) not in _SCALARS]
