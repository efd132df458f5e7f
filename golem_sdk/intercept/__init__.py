"""Interceptors: inside an agent, side effects of ordinary Python become durable calls.

Nothing is replaced before `install` is called (the runtime does, when it is opened), everything is put back
by `uninstall`, and `heal` notices what other tools took out. Names that are bound to originals already
(``from time import time``) take a look at everything that the process holds: `heal` has it before the first
agent runs, so whoever only opens a runtime does without. Outside agents a replaced function does what
it did before, at the cost of one look at a context variable.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import nullcontext

from golem_sdk import durability
from golem_sdk.intercept import net
from golem_sdk.intercept.activation import Activated, Activator, version_of
from golem_sdk.intercept.clock import READINGS
from golem_sdk.intercept.interceptor import PYTHON
from golem_sdk.intercept.libraries import LibraryClocks
from golem_sdk.intercept.names import swap_names
from golem_sdk.intercept.patching import Installed, PatchSet, warn
from golem_sdk.intercept.suppress import CollectionGuard, import_patch
from golem_sdk.intercept.table import ACTIVATIONS, versions

__all__ = ["Installed", "heal", "install", "installed", "uninstall", "versions"]

_mutex = threading.Lock()
_patches = PatchSet()
_guard = CollectionGuard()
_clocks: LibraryClocks | None = None
_activator = Activator()
_found_names = False
_warned = False


def install() -> None:
    """Replace what is to be intercepted. Idempotent.

    Libraries that are imported already are patched now, others when they are imported. Names that were bound
    to originals before follow with the next call of `heal`.
    """
    global _clocks
    if _clocks is not None:
        return
    # Adapters are imported before the lock is taken: another thread may import, too, and wait for it.
    early = [name for name in ACTIVATIONS if name in sys.modules]
    found = [each for name in early for each in _activator.activate(name)]
    with _mutex:
        if _clocks is not None:
            return
        _clocks = LibraryClocks({name: vars(time)[name] for name in READINGS})
        _patches.add([import_patch(_imported)], PYTHON, version_of(PYTHON, sys))
        _add(found)
        _guard.install()
    for name in ACTIVATIONS.keys() - set(early):  # another thread may have imported it meanwhile
        _imported(name)


def uninstall() -> None:
    """Put everything back, bound names too. What another tool has replaced meanwhile stays as it is."""
    global _activator, _clocks, _found_names, _warned
    with _mutex:
        if _clocks is None:
            return
        pairs = _clocks.pairs() + [(new, old) for old, new in _patches.spread_pairs()]
        _activator, _clocks, _found_names, _warned = Activator(), None, False, False
        _guard.uninstall()
        net.forget()
        _patches.remove()
        swap_names(pairs, _keeps)


def installed() -> list[Installed]:
    """What is replaced at the moment: ``(library, version, target)``, in order."""
    with _mutex:
        return _patches.inventory()


def heal() -> None:
    """See to it that agent code meets replacements only: to be called before any runs.

    Finds, the first time, the names that were bound before. Puts back what another tool (freezegun, say) has
    overwritten, with one warning per process. Cheap when nothing has changed: made for the start of every
    invocation.
    """
    if _found_names and _patches.intact():
        return
    session = durability.current()
    with nullcontext() if session is None else durability.suppressed(session):
        _mend()


def _mend() -> None:
    global _found_names, _warned
    with _mutex:
        if _clocks is None:
            return
        drifted = _patches.drifted()
        _patches.restore(drifted)
        if drifted or not _found_names:  # otherwise another thread was faster
            _spread()
            _found_names = True
            net.hear()  # after the search: identities are audited
        first, _warned = drifted and not _warned, _warned or bool(drifted)
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


def _add(found: list[Activated]) -> None:
    for activated in found:
        _patches.add(activated.patches, activated.library, activated.version)


def _imported(name: str) -> None:
    """A module was imported: give it its clock, or activate the interceptors of its library."""
    clocks = _clocks
    if clocks is None:
        return
    clocks.fit(name)
    if name in ACTIVATIONS and (found := _activator.activate(name)):
        with _mutex:
            _add(found)
