"""What goes from one actor of an agent to the next."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager

from attrs import field, frozen

from golem_sdk.runtime.completion import Completion
from golem_sdk.stores.invocations import InvocationStatus

__all__ = ["Leavings"]


@frozen
class Leavings:
    """What an actor that was interrupted leaves to the next one of its agent.

    Attributes:
        completions: ends that somebody may wait for, by idempotency key. The queue is on disk.
    """

    completions: Mapping[str, Completion] = field(factory=dict)

    @staticmethod
    def of(completions: Mapping[str, Completion]) -> Leavings:
        """Those of an actor that are not decided yet. Who has decided tells those who wait."""
        return Leavings(
            {
                key: end
                for key, end in completions.items()
                if end.status not in {InvocationStatus.COMPLETED, InvocationStatus.CANCELLED}
            }
        )

    def without(self, keys: Container[str]) -> Leavings:
        """These, but for the invocations with these idempotency keys."""
        return Leavings({key: end for key, end in self.completions.items() if key not in keys})

    @contextmanager
    def failing(self) -> Iterator[None]:
        """If this block raises, so is told to all who wait."""
        try:
            yield
        except BaseException as error:
            for completion in self.completions.values():
                completion.fail(error)
            raise
