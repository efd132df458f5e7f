"""One agent's oplog: entry types for users, reading, and appending with grouped commits."""

from golem_sdk.core.entries import (
    BeginAtomicRegion,
    BeginRemoteWrite,
    Create,
    DescribeCallSite,
    EndAtomicRegion,
    EndRemoteWrite,
    Entry,
    Error,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    ImportedFunctionInvoked,
    Jump,
    Log,
    OplogIndex,
    Revert,
    Suspend,
    TimerSet,
)
from golem_sdk.core.function_type import FunctionType

__all__ = [
    "BeginAtomicRegion",
    "BeginRemoteWrite",
    "Create",
    "DescribeCallSite",
    "EndAtomicRegion",
    "EndRemoteWrite",
    "Entry",
    "Error",
    "ExportedFunctionCompleted",
    "ExportedFunctionInvoked",
    "FunctionType",
    "ImportedFunctionInvoked",
    "Jump",
    "Log",
    "OplogIndex",
    "Revert",
    "Suspend",
    "TimerSet",
]
