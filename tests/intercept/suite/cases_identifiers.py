"""Identifiers of libraries. They are imported by the cases: agent frameworks take long."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from intercept.suite.case import Case
from intercept.suite.cases_standard import kinds

__all__ = ["CASES"]


def of_uuid_utils(_: object) -> list[Any]:
    compat, own = import_module("uuid_utils.compat"), import_module("uuid_utils")
    plain = [compat.uuid1(), compat.uuid4(), compat.uuid6(), compat.uuid7()]
    return [*plain, *map(str, [own.uuid1(), own.uuid4(), own.uuid6(), own.uuid7()])]


async def of_pydantic_ai(_: object) -> list[Any]:
    names = import_module("pydantic_ai._uuid")
    return [names.uuid7(), names.uuid7()]


def of_langgraph(_: object) -> list[Any]:
    names = import_module("langgraph.checkpoint.base.id")
    return [str(names.uuid6()), str(names.uuid6(clock_seq=3))]


def of_a_wrong_time(_: object) -> object:
    return import_module("uuid_utils.compat").uuid7(timestamp="now")


async def of_too_much(_: object) -> object:
    return import_module("pydantic_ai._uuid").uuid7(1)


def of_a_wrong_node(_: object) -> object:
    return import_module("langgraph.checkpoint.base.id").uuid6(node="here")


CASES = [
    Case("uuid_utils", "uuid_utils", of_uuid_utils, of_a_wrong_time, view=kinds),
    Case("pydantic_ai", "pydantic_ai", of_pydantic_ai, of_too_much, view=kinds),
    Case("langgraph", "langgraph", of_langgraph, of_a_wrong_node, view=kinds),
]
