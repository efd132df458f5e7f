"""What a script has recorded can be taken up by a program that imports it, and the other way round."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SHOP = """
import os, sys
from dataclasses import dataclass
from golem_sdk import Runtime, agent, durable

@dataclass
class Parcel:
    weight: int

class LateError(Exception):
    pass

@durable
def pack(weight: int) -> Parcel:
    print("packed")
    return Parcel(weight)

@durable
def send(parcel: Parcel) -> str:
    if os.environ.get("DIES"):
        os._exit(9)
    raise LateError("tomorrow")

@agent
def delivery(weight: int) -> str:
    parcel = pack(weight)
    try:
        return send(parcel)
    except LateError as error:
        return f"{type(parcel).__module__} {parcel.weight} kg {error}"

def main() -> None:
    with Runtime("store") as runtime:
        print(runtime.run(delivery, 7))

if __name__ == "__main__":
    main()
"""

AS_SCRIPT = ["parcel_shop.py"]
AS_MODULE = ["-m", "parcel_shop"]
IMPORTED = ["-c", "import parcel_shop; parcel_shop.main()"]


@pytest.mark.parametrize(
    ("first", "then"),
    [(AS_SCRIPT, IMPORTED), (IMPORTED, AS_SCRIPT), (AS_SCRIPT, AS_MODULE), (AS_MODULE, IMPORTED)],
    ids=["script-imported", "imported-script", "script-module", "module-imported"],
)
def test_p2_a_script_goes_on_under_another_name(
    tmp_path: Path, first: list[str], then: list[str]
) -> None:
    (tmp_path / "parcel_shop.py").write_text(SHOP)
    killed = program(tmp_path, first, dies=True)
    assert (killed.returncode, killed.stdout) == (9, "packed\n"), killed.stderr
    went_on = program(tmp_path, then)
    assert went_on.returncode == 0, went_on.stderr
    module = "parcel_shop" if then is IMPORTED else "__main__"
    assert went_on.stdout == f"{module} 7 kg tomorrow\n", "packed once, with this process's classes"
    assert program(tmp_path, first).stdout.endswith("7 kg tomorrow\n")


def program(
    place: Path, what: list[str], *, dies: bool = False
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DIES": "yes" if dies else "", "PYTHONUNBUFFERED": "1"}
    return subprocess.run(
        [sys.executable, *what],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
