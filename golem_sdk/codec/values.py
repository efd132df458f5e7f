"""Values to bytes and back: exact or an error, bounded, nothing executable (K1, P6, S2).

The frame is msgpack. Plain values (None, bool, int, float, str, bytes, list, dict) take msgpack's
own path; every other type is *lowered* to an extension code with a body (`tables.py` lists them
all) and *raised* again when read. Classes are stored by name and looked up among the modules that
are already imported; reading never imports and never runs a constructor, a validator or a property.
The only code of a stored class that reading can reach is ``__hash__`` and ``__eq__``, when the
object was the key of a dict or the element of a set. Classes with a ``__del__`` are refused: it
would run when the value is dropped. Of parts that are shared each place gets its own copy.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import msgpack
from msgpack import Packer, unpackb

from golem_sdk.codec.bounds import MAX_WEIGHT, may_be_heavy, weigh
from golem_sdk.codec.codes import Code, Malformed, Refused, shown
from golem_sdk.codec.survey import (
    MAX_DEPTH,
    TOO_DEEP,
    TOO_DEEP_REMEDY,
    Seen,
    Survey,
    is_shallow,
    parts_of,
)
from golem_sdk.errors import DecodingError, EncodingError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["MAX_DEPTH", "decode", "encode"]

_C_STACK_LEVELS = 4  # unpackb keeps 40 KiB of C stack per level; deeper levels use the heap

_CONTAINER_MARKS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
_BYTES_MARKS = bytes(range(0xC4, 0xC7))
_EXTENSION_MARKS = bytes([*range(0xC7, 0xCA), *range(0xD4, 0xD9)])
_ALL_MARKS = _CONTAINER_MARKS + _BYTES_MARKS + _EXTENSION_MARKS
_PLAIN_MARKS = bytes(range(0x90, 0xA0)) + _BYTES_MARKS  # of short lists, and of bytes
_HARMLESS = bytes(b for b in range(256) if b not in _ALL_MARKS)
_CLEAR = _HARMLESS + _CONTAINER_MARKS

_SMALL = 1_000  # bytes, which cannot weigh too much

UNENCODABLE = (Refused, ValueError, OverflowError, TypeError, RecursionError)
"""What encoding fails with inside the codec: its own signal, and msgpack's errors."""

_TOO_HEAVY = f"it has too many parts (weight over {MAX_WEIGHT:,})"
_TOO_HEAVY_REMEDY = "Store it in parts, as bytes, or as a numpy array."

_SAME_KEY_TWICE = "a dict has the same key twice"

_idle: list[Packer] = []
"""Packers that nobody uses: to make one takes as long as to pack a small value."""

_FEW_KEYS = 32  # of them, all may have the same hash
_MAX_COMPARISONS = 5_000_000  # of keys and elements that have the same hash
_EXTENSION_COST = 64
_BIG_INT_COST = 8


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
        if len(data) > _SMALL:
            if data[0] in _BYTES_MARKS:  # nothing can be in it
                return unpackb(data)
            if may_be_heavy(data) and weigh(data) > MAX_WEIGHT:
                raise DecodingError(f"stored value has too many parts (weight over {MAX_WEIGHT:,})")
        marks = data.translate(None, _HARMLESS)
        if len(marks) <= MAX_DEPTH and _has_no_inner_dict(data, marks):
            value = unpackb(data, strict_map_key=False, unicode_errors="surrogatepass")
            if type(value) is dict and len(value) != data[0] & 0x0F:
                raise Malformed(_SAME_KEY_TWICE)
            return value
        decoder = _Decoder()
        value = decoder.unpack(data)
        if len(marks) > MAX_DEPTH or (
            marks.translate(None, _CONTAINER_MARKS) and _may_hold_timestamp(data)
        ):
            survey = Survey(value, decoder.raised or {})
            if survey.foreign:
                raise DecodingError(
                    "stored value contains an extension that golem_sdk never writes"
                )
    except DecodingError:
        raise
    except Refused as refusal:
        raise DecodingError(f"stored value cannot be read: {refusal.reason}") from None
    except Exception as error:  # hostile bytes may fail anywhere; callers see one type
        what = f"{type(error).__name__}: {shown(str(error))}"
        raise DecodingError(f"stored value is damaged: {what}") from error
    return value


def _has_no_inner_dict(data: bytes, marks: bytes) -> bool:
    """Whether it holds only short lists and bytes, and at most one dict: a short one, around everything."""
    others = marks.translate(None, _PLAIN_MARKS)
    return not others or (len(others) == 1 and others[0] == data[0] < 0x90)


def pack_checked(value: object) -> bytes:
    """Like `encode`, but fails with the codec's internal signals and msgpack's own errors."""
    kind = type(value)
    if (kind is list or kind is dict) and not is_shallow(value):
        return _pack_any(value)
    # Not the same for all: a collection in here may run code that encodes, too.
    try:
        packer = _idle.pop()
    except IndexError:
        packer = Packer(strict_types=True, unicode_errors="surrogatepass")
    try:
        packed: bytes = packer.pack(value)
    except (ValueError, OverflowError, TypeError):
        return _pack_any(value)
    if len(packed) <= _SMALL:  # and with it the room that it keeps
        _idle.append(packer)
    if kind is bytes:
        return packed
    # What is small and holds no byte that even looks like one of bytes or of an extension is right.
    if len(packed) <= _SMALL and not packed.translate(None, _CLEAR):
        return packed
    return _pack_any(value)


def _pack_any(value: object) -> bytes:
    encoder = Encoder()
    packed = encoder.pack(value)
    marks = packed.translate(None, _HARMLESS)
    heavy = may_be_heavy(packed)
    # Often no more bytes than that even look like the start of a container.
    if len(marks) <= MAX_DEPTH and not heavy:
        opaque = marks.translate(None, _CONTAINER_MARKS)
        if not opaque:
            return packed
        if len(opaque) == encoder.lowered and not opaque.translate(None, _EXTENSION_MARKS):
            return packed  # every extension in it is one that the encoder made
    if heavy and weigh(packed) > MAX_WEIGHT:
        raise Refused(value, _TOO_HEAVY, _TOO_HEAVY_REMEDY)
    survey = Survey(value, encoder.seen or {})
    if survey.foreign:
        encoder.careful = True
        encoder.spent = 0
        packed = encoder.pack(value)
    return packed


class Encoder:
    """One encoding: packs plain values and lowers the others as msgpack meets them."""

    careful = False  # replace what msgpack would silently store as something else
    nesting = 0
    links = 0  # exceptions around the one being lowered
    lowered = 0
    spent = 0  # at most the weight of what was packed: parts that are shared count each time
    seen: Seen | None = None  # made when needed: most values are plain
    _exceptions: dict[tuple[int, int, bool], bytes] | None = None

    def pack(self, value: object) -> bytes:
        """Bytes of one value inside the one being encoded."""
        if type(value) is list or type(value) is dict:
            self._spend(value, parts_of(value))
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
            raise Refused(value, TOO_DEEP, TOO_DEEP_REMEDY)
        self.nesting += 1
        try:
            code, body = tables.hook_for(type(value))(value)
            self._spend(value, _BIG_INT_COST if code is Code.BIG_INT else _EXTENSION_COST)
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
        spent = self.spent
        try:
            self.pack(value)
            return Survey(value, self.seen or {}).depth <= MAX_DEPTH // 4
        except UNENCODABLE:
            return False
        finally:
            self.spent = spent

    def _spend(self, value: Any, cost: int) -> None:
        self.spent += cost
        if self.spent > MAX_WEIGHT:
            raise Refused(value, _TOO_HEAVY, _TOO_HEAVY_REMEDY)

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
            seen[id(exc)] = (exc, Code.EXCEPTION, Survey(body, seen))
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


class _Decoder:
    """One decoding: raises extensions as msgpack meets them."""

    nesting = 0
    comparisons = 0
    raised: Seen | None = None  # made when needed: most values are plain

    def unpack(self, data: bytes) -> Any:
        """The value of these bytes, which may be the body of an extension."""
        if self.nesting >= _C_STACK_LEVELS:
            return self._unpack_on_heap(data)
        return unpackb(
            data,
            ext_hook=self.extension,
            object_pairs_hook=self.mapping,
            strict_map_key=False,
            unicode_errors="surrogatepass",
        )

    def _unpack_on_heap(self, data: bytes) -> Any:
        """Like `unpack`, slower, with a few bytes of C stack."""
        unpacker = msgpack.Unpacker(
            read_size=max(len(data), 1),
            max_buffer_size=max(len(data), 1),
            ext_hook=self.extension,
            object_pairs_hook=self.mapping,
            strict_map_key=False,
            unicode_errors="surrogatepass",
        )
        unpacker.feed(data)
        value = unpacker.unpack()
        if unpacker.tell() != len(data):
            raise Malformed("extra bytes after a value")
        return value

    def mapping(self, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        """A dict, whose keys may neither repeat nor take for ever to be told apart."""
        if len(pairs) > _FEW_KEYS:
            self._compare([key for key, _ in pairs])
        mapping = dict(pairs)
        if len(mapping) != len(pairs):
            raise Malformed(_SAME_KEY_TWICE)
        return mapping

    def _compare(self, keys: list[Any]) -> None:
        """Count how often keys of the same hash will be compared; hostile ones can all have the same."""
        hashes = [hash(key) for key in keys]
        if len({*hashes}) == len(hashes):
            return
        self.comparisons += sum(n * (n - 1) // 2 for n in Counter(hashes).values())
        if self.comparisons > _MAX_COMPARISONS:
            raise Malformed("too many keys or elements with the same hash")

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
        if (code is Code.SET or code is Code.FROZENSET) and len(body) > _FEW_KEYS:
            self._compare(body)
        value = build(body)
        if self.raised is None:
            self.raised = {}
        self.raised[id(value)] = (value, code, body)
        return value


def _may_hold_timestamp(data: bytes) -> bool:
    """Whether ext -1 may be in it, which msgpack decodes without asking."""
    return b"\xd6\xff" in data or b"\xd7\xff" in data or b"\xc7\x0c\xff" in data


@cache
def _tables() -> ModuleType:
    """The tables of types, imported when the first value that is not plain comes by."""
    from golem_sdk.codec import tables

    return tables
