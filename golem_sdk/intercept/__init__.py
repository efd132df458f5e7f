"""Interceptors: inside an agent, side effects of ordinary Python become durable calls.

Nothing is replaced before `install` is called (the runtime does, with its first agent), everything is
put back by `uninstall`, and `heal` notices what other tools took out. Outside agents a replaced
function does what it did before, at the cost of one look at a context variable.
"""

from __future__ import annotations

import platform
import sys
import threading
import time
from typing import TYPE_CHECKING

from golem_sdk.intercept.clock import READINGS, time_patches
from golem_sdk.intercept.dates import datetime_patches
from golem_sdk.intercept.entropy import entropy_patches, tempfile_patches
from golem_sdk.intercept.httpx import httpx_patches
from golem_sdk.intercept.libraries import LibraryClocks
from golem_sdk.intercept.llm import probe_patches
from golem_sdk.intercept.names import swap_names
from golem_sdk.intercept.output import output_patches
from golem_sdk.intercept.patching import Installed, Patch, PatchSet, warn
from golem_sdk.intercept.suppress import CollectionGuard, import_patch
from golem_sdk.intercept.threads import thread_patches

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["Installed", "heal", "install", "installed", "uninstall", "versions"]

_ADAPTERS: dict[str, Callable[[ModuleType], list[Patch]]] = {
    "anthropic._base_client": probe_patches,
    "httpx": httpx_patches,
    "httpx2": httpx_patches,
    "openai._base_client": probe_patches,
    "tempfile": tempfile_patches,
}
"""Interceptors by the module whose import activates them. They import nothing themselves."""

_VERSIONS = {"clock": 1, "dates": 1, "entropy": 1, "httpx": 1, "libraries": 1, "output": 1}

_mutex = threading.Lock()
_patches = PatchSet()
_guard = CollectionGuard()
_clocks: LibraryClocks | None = None
_warned = False


def install() -> None:
    """Replace what is to be intercepted, and the names that were bound to it before. Idempotent.

    Libraries that are imported already are patched now, others when they are imported.
    """
    global _clocks
    with _mutex:
        if _clocks is not None:
            return
        _clocks = LibraryClocks({name: vars(time)[name] for name in READINGS})
        version = platform.python_version()
        _patches.add([import_patch(_imported, version)])
        _patches.add(time_patches(version))
        _patches.add(datetime_patches(version))
        _patches.add(entropy_patches(version))
        _patches.add(output_patches(version))
        _patches.add(thread_patches(version))
        _guard.install()
        _spread()
    for name in _ADAPTERS:
        if name in sys.modules:
            _imported(name)


def uninstall() -> None:
    """Put everything back, bound names too. What another tool has replaced meanwhile stays as it is."""
    global _clocks, _warned
    with _mutex:
        if _clocks is None:
            return
        pairs = _clocks.pairs() + [(new, old) for old, new in _patches.spread_pairs()]
        _clocks, _warned = None, False
        _guard.uninstall()
        _patches.remove()
        swap_names(pairs, _keeps)


def installed() -> list[Installed]:
    """What is replaced at the moment: ``(library, version, target)``, in order."""
    with _mutex:
        return _patches.inventory()


def versions() -> dict[str, int]:
    """The version of what each interceptor records. It grows when older records replay differently."""
    return dict(_VERSIONS)


def heal() -> None:
    """Put back what another tool (freezegun, say) has overwritten, with one warning per process.

    Cheap when nothing has changed: made for the start of every invocation.
    """
    global _warned
    if _patches.intact():
        return
    with _mutex:
        drifted = _patches.drifted()
        if not drifted:  # another thread was faster
            return
        _patches.restore(drifted)
        _spread()
        first, _warned = not _warned, True
    if first:
        names = ", ".join(patch.label for patch in drifted)
        warn(
            f"another tool had replaced {names}; golem_sdk put its own functions back, because agents "
            "would not be durable without them. Do not replace clocks or entropy around agents"
        )


def _spread() -> None:
    assert _clocks is not None
    _clocks.fit_all()
    swap_names(_patches.spread_pairs(), _keeps)


def _keeps(module: str) -> bool:
    """Whether a module keeps the originals that it has: the SDK's own do."""
    return module == "golem_sdk" or module.startswith("golem_sdk.")


def _imported(name: str) -> None:
    """A module was imported: give it its clock, or activate the interceptor of its library."""
    clocks = _clocks
    if clocks is None:
        return
    clocks.fit(name)
    adapter, module = _ADAPTERS.get(name), sys.modules.get(name)
    if adapter is None or module is None:
        return
    try:
        patches = adapter(module)
    except Exception as error:  # an import must not fail because of us
        warn(f"golem_sdk could not prepare to intercept {name}: {error!r}; it is not durable")
        return
    with _mutex:
        _patches.add(patches)
