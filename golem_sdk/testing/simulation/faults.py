"""What may go wrong in a simulation: the named branches, how likely each is, and how often each was taken."""

from __future__ import annotations

from collections import Counter

from attrs import frozen

__all__ = ["BRANCHES", "CALM", "WILD", "Faults", "Tally"]

BRANCHES: dict[str, str] = {
    "kill": "a process was killed at any point",
    "kill while opening": "it was killed during recovery, before it was open",
    "kill in commit": "it was killed after a commit and before anybody was told",
    "close": "a runtime was closed in the midst of work, another one opened the store",
    "freeze": "a process stood still and went on",
    "takeover": "another process opened the store while its owner stood still",
    "zombie wakes": "the former owner went on after a takeover",
    "zombie refused": "a commit of the former owner was refused (X1)",
    "slow commit": "a commit took seconds",
    "slow read": "a read took seconds",
    "failed commit": "a commit failed, nothing of it happened",
    "unknown, done": "a commit failed, and had happened",
    "unknown, not done": "a commit failed, and whether it had happened was not known: it had not",
    "full": "the store was full for a while",
    "failed read": "a read failed",
    "lost wake-up": "the timer thread was not told of an earlier timer",
    "late start": "a thread took long to start",
    "spurious wake-up": "an agent was woken for nothing",
    "clock ahead": "the clock jumped ahead",
    "clock back": "the clock jumped back",
    "effect repeated": "an effect happened again after a crash",
    "effect cut off": "a process was gone in the middle of an effect",
    "effect failed": "the outside refused an effect for a while",
    "unknown outcome": "an operator said what had become of a write that is never sent twice",
    "shared commit": "one transaction carried batches of several agents",
}
"""The named branches. Runs of the default size must hit every one."""


@frozen
class Faults:
    """How likely each fault is, each time that there is an occasion.

    Attributes:
        commit: of a commit that is slow; of each way in which it fails, a third of that.
        read: of a read that is slow; of one that fails, a third of that.
        wake: of wake-ups that are lost, late or made for nothing.
        effect: of an attempt that the outside refuses.
        fates: how many processes of a run come to a bad end.
    """

    commit: float = 0.01
    read: float = 0.01
    wake: float = 0.05
    effect: float = 0.1
    fates: int = 6


WILD = Faults()
CALM = Faults(0.0, 0.0, 0.0, 0.0, 0)


class Tally(Counter[str]):
    """How often each branch was taken."""

    def hit(self, branch: str) -> None:
        """One more.

        Raises:
            KeyError: the branch is not in the table.
        """
        BRANCHES[branch]
        self[branch] += 1

    def missing(self) -> list[str]:
        """The branches that were never taken."""
        return [branch for branch in BRANCHES if not self[branch]]
