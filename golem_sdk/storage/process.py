"""What a process opened is its own: a forked child gets an error instead of a hang or a mix-up."""

from __future__ import annotations

from golem_sdk import originals
from golem_sdk.errors import StoreForkedError

__all__ = ["check_process"]


def check_process(opened_by: int, what: object) -> None:
    """Check that this is the process that opened ``what``.

    To be called before any lock is taken: the thread that holds it may not exist in a forked child.

    Raises:
        StoreForkedError: it is not.
    """
    if originals.getpid() != opened_by:
        raise StoreForkedError(
            f"{what} was opened by process {opened_by} and is used by its forked child "
            f"{originals.getpid()}: open a runtime of its own in the child, or start the child with `spawn`"
        )
