"""The tags of a project on GitHub in a SQLite database, with github-to-sqlite.

The package (Apache License 2.0, 1,500 lines over requests and sqlite3, through sqlite-utils) is installed and
run as it is published, by its command line. Only its network is another one: `local` leads it to a fake.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import requests
from github_to_sqlite.cli import cli
from requests.adapters import HTTPAdapter

from golem_sdk import agent
from golem_sdk.testing.driver import Step
from programs.outside import Answer, Services

if TYPE_CHECKING:
    from typing import Self

__all__ = ["archive", "local", "outside", "steps"]

_INDEX = re.compile(r'INSERT INTO "\w+_fts_(data|idx)"')
"""How an index for searches is stored, which is not the same if a statement that fills it is made twice."""

HUB = "https://api.github.com"
SHM = "/dev/shm"  # a directory of its own is made in it


@agent
def archive(database: str, project: str) -> None:
    cli.main(["tags", database, project, "--auth", f"{database}-auth.json"], standalone_mode=False)


# --- what it talks to, and about ----------------------------------------------------------------------


def local(url: str) -> None:
    """Lead what is meant for GitHub to this address, in this process."""

    class Local(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
            assert request.url is not None
            request.url = request.url.replace(HUB, url)
            return super().send(request, *args, **kwargs)

    requests.sessions.HTTPAdapter = Local  # where sessions look it up


def steps(database: str) -> list[Step]:
    """One project."""
    return [Step(archive, (database, "dogs/barking"))]


class Hub(Services):
    """GitHub, as far as it is asked, and a database for what it says: that is what is left."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self._directory = tempfile.TemporaryDirectory(dir=SHM if Path(SHM).is_dir() else None)
        self.place = str(Path(self._directory.name) / "github.db")

    def __enter__(self) -> Self:
        local(self.url)
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        requests.sessions.HTTPAdapter = HTTPAdapter  # as above
        with closing(sqlite3.connect(self.place)) as connection:
            self.left = [line for line in connection.iterdump() if not _INDEX.match(line)]
        self._directory.cleanup()

    def _answer(self, method: str, target: str, body: bytes) -> Answer:
        parts = urlsplit(target)
        match parts.path:
            case "/repos/dogs/barking":
                return Answer(_project())
            case "/repos/dogs/barking/tags":
                if "page" in parse_qs(parts.query):
                    return Answer([_tag(2)])
                following = f'<{HUB}{target}&page=2>; rel="next"'
                return Answer([_tag(0), _tag(1)], headers=(("Link", following),))
        return Answer({"message": "Not Found"}, 404)


def outside() -> Hub:
    """GitHub and the database."""
    return Hub()


def _user(number: int) -> dict[str, Any]:
    return {"id": number, "login": f"user-{number}", "url": "https://x", "type": "User"}


def _project() -> dict[str, Any]:
    return {
        "id": 5,
        "name": "barking",
        "full_name": "dogs/barking",
        "html_url": "https://github.com/dogs/barking",
        "owner": _user(1),
        "license": None,
        "description": "Loud",
        "topics": ["dogs"],
    }


def _tag(number: int) -> dict[str, Any]:
    return {"name": f"v{number}", "commit": {"sha": f"{number:040x}", "url": "https://x"}}
