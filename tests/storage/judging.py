"""Judges a damaged store in a process of its own, which the damage may end."""

from __future__ import annotations

import os
import signal
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

OUTCOMES = ["harmless", "noticed", "WRONG"]


def judged(judge: Callable[[], str]) -> str:
    """One of the `OUTCOMES`, or "DIED"."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        try:
            code = OUTCOMES.index(judge())
        except BaseException:
            traceback.print_exc()
            code = len(OUTCOMES)
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return OUTCOMES[code] if 0 <= code < len(OUTCOMES) else "DIED"
