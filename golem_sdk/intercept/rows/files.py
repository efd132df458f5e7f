"""Files."""

from __future__ import annotations

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment

__all__ = ["FILES"]

_READ = Treatment.READ_LOCAL
_WRITE = Treatment.WRITE_REMOTE
_PLACE = "golem_sdk.intercept"
_PATH_LOOKUPS = "glob is_mount iterdir resolve rglob"

FILES = (
    Interceptor(
        name="files",
        version=2,
        adapters={
            "builtins": f"{_PLACE}.files:builtins_patches",
            "io": f"{_PLACE}.files:io_patches",
        },
        replaces=(
            Replaced("builtins", "open", (_READ, _WRITE)),
            Replaced("io", "open", (_READ, _WRITE)),
        ),
        limits="what agent code opens outside its `golem_sdk.workspace()`, also through `pathlib`, `codecs`, "
        "`configparser`, `gzip`, `bz2`, `lzma`, `zipfile`, `tarfile`, `wave`, `xml` and `anyio`, or gives to "
        "a thread to open; what other libraries open is passed on, as are `io.FileIO` and `dbm`. Of files "
        "larger than 16 MiB only hashes "
        "of what was read are kept: replay reads them again, and "
        "parks the agent if they have changed. Of what is written the size and the hash are kept. Not "
        "`mmap`, nor `fileno()`; mode `x` is no lock: an agent that crashed while it made the file takes it "
        "for its own",
    ),
    Interceptor(
        name="file-system",
        version=4,
        adapters={
            "filecmp": f"{_PLACE}.file_trees:filecmp_patches",
            "glob": f"{_PLACE}.file_trees:glob_patches",
            "os": f"{_PLACE}.file_system:os_patches",
            "pathlib": f"{_PLACE}.file_trees:pathlib_patches",
            "shutil": f"{_PLACE}.file_trees:shutil_patches",
            "tarfile": f"{_PLACE}.file_trees:tarfile_patches",
        },
        replaces=(
            Replaced(
                "os", "access getxattr listdir listxattr lstat readlink scandir stat statvfs", _READ
            ),
            Replaced(
                "os",
                "chmod chown lchown link makedirs mkdir mkfifo remove removedirs removexattr rename renames"
                " replace rmdir setxattr symlink truncate unlink utime",
                _WRITE,
            ),
            Replaced("os", "open", (Treatment.PASSED_ON, Treatment.REFUSED)),
            Replaced(
                "shutil", "chown copy copy2 copyfile copymode copystat copytree move rmtree", _WRITE
            ),
            Replaced("filecmp", "cmp", _READ),
            Replaced("glob", "glob iglob", _READ),
            Replaced("glob._StringGlobber", "lstat scandir", _READ),
            Replaced("tarfile", "_LowLevelFile", Treatment.PASSED_ON),
            Replaced("pathlib.Path", "touch", _WRITE),
            Replaced("pathlib._local.Path", "touch", _WRITE),  # where Python 3.13 has it
        ),
        limits="what else `os.path` and `pathlib` do ends in these. Passed on: the agent's own directory, "
        "where replay does it again, but not what is reached by links that lead out of it; descriptors and "
        "`dir_fd`, so `os.fwalk`, too; `os.chdir`; and what libraries do for themselves. Links outside are "
        "not followed: what leads through one into the agent's own directory is outside. A call that is "
        "given functions of agent code (`onexc`, `ignore`, `copy_function`) is recorded in its parts. "
        "`os.open` for writing is refused outside, for reading it is passed on with a warning. A change that "
        "a crash repeats and that finds itself done is taken for done: `mkdir` is no lock",
    ),
    Interceptor(
        name="file-lookups",
        adapters={
            "os": f"{_PLACE}.lookups:os_patches",
            "pathlib": f"{_PLACE}.lookups:pathlib_patches",
            "posixpath": f"{_PLACE}.lookups:posixpath_patches",
        },
        replaces=(
            Replaced("pathlib.Path", _PATH_LOOKUPS, _READ),
            Replaced("pathlib._local.Path", _PATH_LOOKUPS, _READ),  # where Python 3.13 has them
            Replaced("posixpath", "ismount realpath", _READ),
            Replaced("pathlib.Path", "walk", Treatment.PASSED_ON),  # since Python 3.12
            Replaced("pathlib._local.Path", "walk", Treatment.PASSED_ON),
            Replaced("os", "walk", Treatment.PASSED_ON),
        ),
        limits="one read each, recorded when they are called: their single questions differ with the version "
        "of Python. `glob` and `rglob` are one for the first path, one for the next 16, and so on; a walk is "
        "one `os.scandir` for each directory. "
        "Passed on: the agent's own directory, where `glob` and `rglob` ask of links that lead out of it "
        "what their version of Python asks, and what libraries do for themselves",
    ),
    Interceptor(
        name="temporary-files",
        adapters={"tempfile": f"{_PLACE}.temporary_files:tempfile_patches"},
        replaces=(
            Replaced("tempfile", "_get_candidate_names", Treatment.PASSED_ON),
            Replaced("tempfile", "mkstemp TemporaryFile", (Treatment.PASSED_ON, Treatment.REFUSED)),
            Replaced("tempfile", "mktemp", (Treatment.PASSED_ON, _READ)),
            Replaced("tempfile", "mkdtemp NamedTemporaryFile", (Treatment.PASSED_ON, _WRITE)),
        ),
        limits="they are in a directory of the agent's own, under the same names in every life, and replay "
        "makes them again. With a `dir=` outside, `NamedTemporaryFile` and `mkdtemp` are remote writes, and "
        "what gives a descriptor is refused",
    ),
)
