"""Paths of temporary files, which have another name in each life of an agent."""

from __future__ import annotations

import os
import re
import sys

from golem_sdk import durability

__all__ = ["without_temporary_names"]


def without_temporary_names(text: str) -> str:
    """The text without the names of what is directly in `tempfile`'s directory: for comparing on replay.

    Such files are made again in each life, under new names: see `golem_sdk.intercept.entropy`. The agent's
    own directory is where the store is, which may move.
    """
    session = durability.current()
    if session is not None and session.workspace:
        text = text.replace(session.workspace, "<workspace>")
    tempfile = sys.modules.get("tempfile")
    directory = None if tempfile is None else tempfile.tempdir  # None until it was used
    if directory is None:
        return text
    place = os.fsdecode(directory)
    return re.sub(rf"{re.escape(place)}/[^/\s]+", f"{place}/*", text) if place in text else text
