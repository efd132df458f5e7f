"""Silence in runs that are to crash: what agents print and log, and the SDK's own complaints."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from io import TextIOBase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["silence"]


class _Nowhere(TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


@contextmanager
def silence() -> Iterator[None]:
    """Drop what is printed to the standard streams and what loggers hand to handlers, in all threads.

    Records are still made and filtered by loggers: agents note them in their oplogs.
    """
    handlers = list(_handlers())
    for handler in handlers:
        handler.addFilter(_drop)
    try:
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(_Nowhere()))
            stack.enter_context(redirect_stderr(_Nowhere()))
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(_drop)


def _drop(record: logging.LogRecord) -> bool:
    return False


def _handlers() -> Iterator[logging.Handler]:
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    found = {h for logger in loggers if isinstance(logger, logging.Logger) for h in logger.handlers}
    if logging.lastResort is not None:
        found.add(logging.lastResort)
    yield from found
