"""A probe of the openai and anthropic SDKs that must not be taken for agent code.

Their asynchronous clients find out the platform's name in a thread, once per client. With a client
that several agents share, that thread would belong to whichever agent comes first in this process. In
an agent the probe runs in place and unrecorded; requests themselves go through httpx or httpx2.

Does not cover: credentials fetched in threads (Bedrock, Vertex): they go through the agent's loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.intercept.patching import Patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["probe_patches"]


def probe_patches(module: ModuleType) -> list[Patch]:
    """The patch of ``openai._base_client`` or ``anthropic._base_client``."""
    return [Patch(module, "asyncify", _in_place)]


def _in_place(original: Callable[..., Any]) -> Callable[..., Any]:
    def asyncify(function: Callable[..., Any]) -> Callable[..., Any]:
        in_thread = original(function)

        async def call(*args: Any, **kwargs: Any) -> Any:
            session = durability.current()
            if session is None:
                return await in_thread(*args, **kwargs)
            with durability.suppressed(session):
                return function(*args, **kwargs)

        return call

    return asyncify
