"""References to classes: "module:qualname", found again without importing or running anything.

Attribute look-ups here go to the namespaces themselves, past metaclasses, properties, descriptors
and module ``__getattr__``: a name that comes from stored data must not be able to run code.
"""

from __future__ import annotations

from functools import lru_cache
from types import MemberDescriptorType, ModuleType
from typing import Any

from golem_sdk.codec.codes import Refused, shown
from golem_sdk.errors import DecodingError
from golem_sdk.modules import find_module, lasting_name

__all__ = [
    "class_reference",
    "derives",
    "find_class",
    "mro_of",
    "namespace_of",
    "reference_of",
    "require_class",
    "runs_when_dropped",
    "slots_of",
]

_TYPE_DICT: Any = type.__dict__["__dict__"]
_TYPE_MRO = type.__dict__["__mro__"]
_TYPE_NAME = type.__dict__["__name__"]
_TYPE_QUALNAME = type.__dict__["__qualname__"]
_TYPE_MODULE = type.__dict__["__module__"]
_LONGEST_REFERENCE = 2000


def namespace_of(cls: type[Any]) -> Any:
    """The class's own namespace (a read-only mapping)."""
    return _TYPE_DICT.__get__(cls)


def mro_of(cls: type[Any]) -> tuple[type[Any], ...]:
    """The class and its bases in method resolution order."""
    mro: tuple[type[Any], ...] = _TYPE_MRO.__get__(cls)
    return mro


def derives(cls: type[Any], base: type[Any]) -> bool:
    """Whether a class is, or extends, another one; asks neither of their metaclasses."""
    return any(each is base for each in mro_of(cls))


def runs_when_dropped(cls: type[Any]) -> bool:
    """Whether instances run code of their class when they are dropped, however they were made.

    Data that names such a class would choose what that code finds in its instance.
    """
    return any("__del__" in namespace_of(each) for each in mro_of(cls))


def slots_of(cls: type[Any]) -> dict[str, Any]:
    """Slot descriptors by attribute name; those of C classes are their data members."""
    return {
        name: descriptor
        for base in reversed(mro_of(cls))
        for name, descriptor in namespace_of(base).items()
        if type(descriptor) is MemberDescriptorType
    }


def reference_of(cls: type[Any]) -> str:
    """The class's name as stored, whether or not it can be found again."""
    generic = namespace_of(cls).get("__pydantic_generic_metadata__")
    if (
        generic and generic["origin"] is not None
    ):  # Page[Item]: pydantic makes it a subclass of Page
        origin = generic["origin"]
        own, name = _TYPE_NAME.__get__(cls), _TYPE_NAME.__get__(origin)
        return f"{reference_of(origin)}{own.removeprefix(name)}"
    return f"{lasting_name(_TYPE_MODULE.__get__(cls))}:{_TYPE_QUALNAME.__get__(cls)}"


def class_reference(value: object) -> str:
    """The name of the value's class as stored.

    Raises:
        Refused: the name does not lead back to this very class.
    """
    cls = type(value)
    reference = reference_of(cls)
    if "<locals>" in reference:
        remedy = "Move the class to the top level of its module."
        raise Refused(value, f"its class {reference} is local to a function", remedy)
    if find_class(reference) is not cls:
        reason = f"its class is not what {reference} names in this process"
        raise Refused(value, reason, "Keep the class importable under its own name.")
    return reference


def find_class(reference: str) -> type[Any] | None:
    """The class of that name among the modules imported by now; None when there is none."""
    if len(reference) > _LONGEST_REFERENCE:
        return None
    module_name, path, arguments = _split(reference)
    module = find_module(module_name)
    if not derives(type(module), ModuleType):
        return None
    space: Any = ModuleType.__getattribute__(module, "__dict__")
    found: Any = None
    for part in path:
        found = space.get(part)
        if not derives(type(found), type):
            return None
        space = namespace_of(found)
    return _parametrized(found, arguments) if arguments else found


@lru_cache(maxsize=4096)
def _split(reference: str) -> tuple[str, list[str], str]:
    plain, bracket, arguments = reference.partition("[")
    module, _, qualname = plain.partition(":")
    return module, qualname.split("."), bracket + arguments


def require_class(reference: object) -> type[Any]:
    """The class of that name.

    Raises:
        DecodingError: no imported module has it; says what to do.
    """
    cls = find_class(reference) if type(reference) is str else None
    if cls is None:
        name = shown(str(reference))
        module = name.partition(":")[0]
        raise DecodingError(
            f"stored value needs the class {name}, which this process does not have. Import "
            f"the module {module} before the agents are resumed, and keep the class importable at "
            "module level under the name it was stored with"
        )
    return cls


def _parametrized(origin: type[Any], arguments: str) -> type[Any] | None:
    """A generic pydantic model with arguments; the newest, as older ones may await collection."""
    name = _TYPE_NAME.__get__(origin) + arguments
    found = [cls for cls in type.__subclasses__(origin) if _TYPE_NAME.__get__(cls) == name]
    return found[-1] if found else None
