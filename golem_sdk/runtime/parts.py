"""Parts of a session that most agents never need: each is made when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from attrs import define, field

from golem_sdk.runtime.crowd import Crowd
from golem_sdk.runtime.custom import CustomFunctions
from golem_sdk.runtime.operations import Operations
from golem_sdk.runtime.unrecorded import Unrecorded

if TYPE_CHECKING:
    from golem_sdk.runtime.session import Session

__all__ = ["Parts"]


@define(eq=False, repr=False, weakref_slot=False)
class Parts:
    """What `Session` has beside itself."""

    _crowd: Crowd | None = field(init=False, default=None)
    _custom: CustomFunctions | None = field(init=False, default=None)
    _operations: Operations | None = field(init=False, default=None)
    _seeded: dict[str, Any] | None = field(init=False, default=None)
    _unrecorded: Unrecorded | None = field(init=False, default=None)

    @property
    def crowd(self) -> Crowd:
        """The threads of synchronous code."""
        if self._crowd is None:
            self._crowd = Crowd(self._whole())
        return self._crowd

    @property
    def custom(self) -> CustomFunctions:
        """The durable functions of the present invocation that are made from parts."""
        if self._custom is None:
            self._custom = CustomFunctions(self._whole())
        return self._custom

    @property
    def operations(self) -> Operations:
        """What agent code begins, ends and jumps back to."""
        if self._operations is None:
            self._operations = Operations(self._whole())
        return self._operations

    @property
    def seeded(self) -> dict[str, Any]:
        """The present invocation's random generators, by the names of their recorded seeds."""
        if self._seeded is None:
            self._seeded = {}
        return self._seeded

    @property
    def unrecorded(self) -> Unrecorded:
        """The calls that replay does not meet."""
        if self._unrecorded is None:
            self._unrecorded = Unrecorded(self._whole())
        return self._unrecorded

    def invocation_begins(self) -> None:
        """What belongs to the invocation before is over."""
        self._custom = self._seeded = None
        if self._operations is not None:
            self._operations.invocation_begins()

    def code_ends(self, error: BaseException | None) -> None:
        """The invocation's own code is over: what it left open is closed, or runs again."""
        if self._custom is not None:
            self._custom.end_invocation()
        if self._operations is not None:
            self._operations.end_invocation(error)

    def close_regions(self) -> None:
        """All the invocation's code is over. See `Operations.close_regions`."""
        if self._operations is not None:
            self._operations.close_regions()

    def made(self) -> list[Crowd | CustomFunctions | Operations | Unrecorded]:
        """Those that were made and refer back to the session."""
        parts = (self._crowd, self._custom, self._operations, self._unrecorded)
        return [part for part in parts if part is not None]

    def detach(self, instead: Any) -> None:
        """Have them refer to something else from now on."""
        for part in self.made():
            part.session = instead
        if self._operations is not None:
            self._operations.writes.operations = instead

    def _whole(self) -> Session:
        return cast("Session", self)
