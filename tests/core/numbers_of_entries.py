"""The numbers of oplog entries, which are stored and never change: those that replay meets, and hints."""

from __future__ import annotations

REPLAYED = {
    1: "Create",
    2: "ImportedFunctionInvoked",
    3: "ExportedFunctionInvoked",
    4: "ExportedFunctionCompleted",
    5: "Jump",
    6: "BeginAtomicRegion",
    7: "EndAtomicRegion",
    8: "BeginRemoteWrite",
    9: "EndRemoteWrite",
    10: "NoOp",
    11: "ChangePersistenceLevel",
}
HINTS = {
    20: "Revert",
    21: "Suspend",
    22: "Error",
    23: "Log",
    24: "DescribeCallSite",
    25: "TimerSet",
    26: "ObservedFunctionCall",
}
