"""The machine, the process and the user around an agent."""

from __future__ import annotations

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment

__all__ = ["SURROUNDINGS"]

_PLACE = "golem_sdk.intercept.surroundings"

SURROUNDINGS = (
    Interceptor(
        name="surroundings",
        version=3,
        adapters={
            "builtins": f"{_PLACE}:builtins_patches",
            "getpass": f"{_PLACE}:getpass_patches",
            "os": f"{_PLACE}:os_patches",
            "platform": f"{_PLACE}:platform_patches",
            "socket": f"{_PLACE}:socket_patches",
        },
        replaces=(
            Replaced(
                "os",
                "getpid getppid getpgrp getlogin getcwd getcwdb getloadavg cpu_count",
                Treatment.READ_LOCAL,
            ),
            Replaced("platform", "platform uname", Treatment.READ_LOCAL),
            Replaced("socket", "gethostname getfqdn", Treatment.READ_LOCAL),
            Replaced("getpass", "getuser", Treatment.READ_LOCAL),
            Replaced("getpass", "getpass", Treatment.REFUSED),
            Replaced("builtins", "input", Treatment.READ_REMOTE),
        ),
        limits="recorded if agent code asks (also by what it gives to a thread), not if a library does; a "
        "recorded process number may be a stranger's in the next life. Environment variables are read as "
        "they are, and unrecorded; to write them is warned about. Not `sys.stdin`",
    ),
)
