"""Files."""

from __future__ import annotations

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment

__all__ = ["FILES"]

_TREATMENTS = (Treatment.READ_LOCAL, Treatment.PASSED_ON)

FILES = (
    Interceptor(
        name="files",
        adapters={
            "builtins": "golem_sdk.intercept.files:builtins_patches",
            "io": "golem_sdk.intercept.files:io_patches",
        },
        replaces=(
            Replaced("builtins", "open", _TREATMENTS),
            Replaced("io", "open", _TREATMENTS),
        ),
        limits="recorded: what agent code opens for reading, also through `pathlib`, `codecs`, "
        "`configparser`, `gzip` and `zipfile`. Files opened for writing are passed on, and written "
        "again in replay; so is what other libraries open. Not `os`, `shutil`, `tempfile`, `glob`, directory "
        "listings, `mmap`",
    ),
)
