"""What the committer does with a flight: the tickets whose batches share one transaction."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from attrs import evolve

from golem_sdk.errors import StoreFencedError

if TYPE_CHECKING:
    from golem_sdk.storage.base import Batch
    from golem_sdk.storage.tickets import Ticket

__all__ = ["batches_of", "fenced", "spread"]

_log = logging.getLogger("golem_sdk")


def batches_of(tickets: list[Ticket]) -> list[Batch]:
    """The tickets' batches; those of one writer are chained, so that none outlives a lost one."""
    if len(tickets) == 1:
        return [tickets[0].batch]
    writers = [id(ticket.writer) for ticket in tickets if ticket.writer is not None]
    if len(set(writers)) == len(writers):
        return [ticket.batch for ticket in tickets]
    counts = Counter(writers)
    return [
        evolve(ticket.batch, chain=id(ticket.writer))
        if counts[id(ticket.writer)] > 1
        else ticket.batch
        for ticket in tickets
    ]


def spread(flight: list[Ticket]) -> None:
    """Tell everybody who asked for it what became of his ticket.

    Nobody is robbed of it by another one who raises, nor by an interrupt, which is raised in the end and
    may have one of them told twice.
    """
    news = [(ticket.told, ticket.error) for ticket in flight if ticket.told is not None]
    interrupt: BaseException | None = None
    again = 0
    while news:
        try:
            while news:
                told, error = news[-1]
                told(error)
                news.pop()
        except Exception:
            _log.exception("somebody could not be told what became of a commit")
            news.pop()
        except BaseException as interrupting:
            interrupt = interrupting
            if again == len(news):
                del news[-1:]
            again = len(news)
    if interrupt is not None:
        raise interrupt


def fenced(batch: Batch) -> StoreFencedError:
    """Why nothing of a batch happened whose claim was lost."""
    if batch.claim is None:
        return StoreFencedError("an earlier change that this one builds on was refused")
    space, key, _ = batch.claim
    return StoreFencedError(
        f"{space.name} already has a record {key!r}: somebody else wrote it first. Nothing of this "
        "change happened. If this is an agent's log, its owner here is stale: load it again"
    )
