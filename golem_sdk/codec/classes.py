"""References to classes: "module:qualname", found again without importing or running anything.

Attribute look-ups here go to the namespaces themselves, past metaclasses, properties, descriptors
and module ``__getattr__``: a name that comes from stored data must not be able to run code.
"""

from __future__ import annotations

from functools import lru_cache
from types import MemberDescriptorType, ModuleType
from typing import Any

from golem_sdk.codec.codes import Refused
from golem_sdk.errors import DecodingError
from golem_sdk.modules import find_module, lasting_name

__all__ = [
    "class_reference",
    "find_class",
    "mro_of",
    "namespace_of",
    "reference_of",
    "require_class",
    "slots_of",
]

_TYPE_DICT = type.__dict__["__dict__"]
_TYPE_MRO = type.__dict__["__mro__"]
_TYPE_NAME = type.__dict__["__name__"]


def namespace_of(cls: type[Any]) -> Any:
    """The class's own namespace (a read-only mapping)."""
    return _TYPE_DICT.__get__(cls)


def mro_of(cls: type[Any]) -> tuple[type[Any], ...]:
    """The class and its bases in method resolution order."""
    mro: tuple[type[Any], ...] = _TYPE_MRO.__get__(cls)
    return mro


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
        return reference_of(origin) + cls.__name__.removeprefix(origin.__name__)
    return f"{lasting_name(cls.__module__)}:{cls.__qualname__}"


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
    module_name, path, arguments = _split(reference)
    module = find_module(module_name)
    if type(module) is not ModuleType and ModuleType not in mro_of(type(module)):
        return None
    space: Any = ModuleType.__getattribute__(module, "__dict__")
    found: Any = None
    for part in path:
        found = space.get(part)
        if type(found) is not type and type not in mro_of(type(found)):
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
        module = str(reference).partition(":")[0]
        raise DecodingError(
            f"stored value needs the class {reference}, which this process does not have. Import "
            f"the module {module} before the agents are resumed, and keep the class importable at "
            "module level under the name it was stored with"
        )
    return cls


def _parametrized(origin: type[Any], arguments: str) -> type[Any] | None:
    """A generic pydantic model with arguments; the newest, as older ones may await collection."""
    name = _TYPE_NAME.__get__(origin) + arguments
    found = [cls for cls in type.__subclasses__(origin) if _TYPE_NAME.__get__(cls) == name]
    return found[-1] if found else None
