"""Processes that agents run."""

from __future__ import annotations

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment

__all__ = ["PROCESSES"]

_EITHER = (Treatment.READ_REMOTE, Treatment.WRITE_REMOTE)

PROCESSES = (
    Interceptor(
        name="processes",
        version=3,
        adapters={
            "asyncio.subprocess": "golem_sdk.intercept.asyncio_processes:asyncio_patches",
            "os": "golem_sdk.intercept.subprocess:os_patches",
            "subprocess": "golem_sdk.intercept.subprocess:subprocess_patches",
        },
        replaces=(
            Replaced("subprocess", "run call", Treatment.WRITE_REMOTE),
            Replaced("subprocess.Popen", "__init__ send_signal", Treatment.WRITE_REMOTE),
            Replaced("subprocess.Popen", "communicate", _EITHER),
            Replaced("subprocess.Popen", "poll wait", Treatment.READ_REMOTE),
            Replaced(
                "asyncio.subprocess",
                "create_subprocess_exec create_subprocess_shell",
                Treatment.WRITE_REMOTE,
            ),
            Replaced("os", "system kill killpg", Treatment.WRITE_REMOTE),
            Replaced("os", "getpgid", Treatment.READ_REMOTE),
            Replaced("os", "execv execve posix_spawn posix_spawnp", Treatment.REFUSED),
        ),
        limits="`check_output`, `getoutput` and `os.popen` end in these; secret options are stored by hash, "
        "environments not at all. A `Popen` that was running when the agent died is started again, given "
        "the same input, and read up to where it was; if its output is another one, if it cannot be started "
        "again (the pipe that it read from is closed), or under `idempotence_mode(False)`, the agent gets a "
        "`ChildProcessError`. So is a `run` of whose output more "
        "than 8 MiB were taken. Its pipes have no `fileno()`, "
        "an asyncio process has no `returncode` before it was waited for; not `pty`, nor `os.waitpid`",
    ),
    Interceptor(
        name="anyio",
        library="anyio",
        tested=("4", "4"),
        adapters={
            "anyio._backends._asyncio": "golem_sdk.intercept.anyio_processes:anyio_patches",
        },
        replaces=(
            Replaced(
                "anyio._backends._asyncio.AsyncIOBackend", "open_process", Treatment.WRITE_REMOTE
            ),
            Replaced(
                "anyio._backends._asyncio.AsyncIOBackend",
                "setup_process_pool_exit_at_shutdown",
                Treatment.PASSED_ON,
            ),
        ),
        limits="`anyio.open_process`, `run_process` and `to_process.run_sync`; as "
        "`asyncio.create_subprocess_exec`: there is no `returncode` before the process was waited for",
    ),
)
