"""The table of interceptors is the truth: what it says is replaced, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
import types
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from golem_sdk import intercept
from golem_sdk.intercept import table
from golem_sdk.intercept.interceptor import PYTHON, Interceptor, Replaced, Treatment
from golem_sdk.intercept.patching import Patch
from golem_sdk.intercept.table import ACTIVATIONS, TABLE, versions
from intercept.replaying import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

LACKING = set()
if sys.version_info < (3, 12):
    LACKING |= {"random.binomialvariate", "pathlib.Path.walk"}
if sys.version_info < (3, 13):
    LACKING |= {"glob._StringGlobber.lstat", "glob._StringGlobber.scandir"}
ELSEWHERE = "pathlib" if Path.__module__ != "pathlib" else "pathlib._local"
LACKING |= {
    name for row in TABLE for name in row.functions if name.startswith(f"{ELSEWHERE}.Path.")
}
"""What this version of Python does not have."""

ROWS = [pytest.param(row, id=row.name) for row in TABLE]


@pytest.fixture
def bare() -> Iterator[None]:
    """Starts without patches and leaves with them, as other tests expect."""
    intercept.uninstall()
    yield
    intercept.uninstall()
    intercept.install()


def import_all(row: Interceptor) -> None:
    for module in row.adapters:
        if find_spec(module.partition(".")[0]) is None:
            pytest.skip(f"{row.library} is not installed")
        import_module(module)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_names_what_is_replaced(row: Interceptor) -> None:
    import_all(row)
    intercept.install()
    replaced = {line.target for line in intercept.installed()}
    assert [name for name in row.functions if name not in replaced | LACKING] == []


def test_nothing_else_is_replaced() -> None:
    intercept.install()
    named = {(row.library, name) for row in TABLE for name in row.functions}
    assert {(line.library, line.target) for line in intercept.installed()} <= named


def test_each_function_is_named_once() -> None:
    names = [name for row in TABLE for name in row.functions]
    assert sorted(names) == sorted(set(names))
    assert len({row.name for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_complete(row: Interceptor) -> None:
    assert row.limits
    assert row.limits[-1] != "."
    assert "|" not in row.limits
    assert row.version >= 1
    assert all(place.startswith("golem_sdk.intercept.") for place in row.adapters.values())


def test_versions_are_those_of_the_rows() -> None:
    assert intercept.versions() == versions() == {row.name: row.version for row in TABLE}
    assert intercept.versions()["httpx"] == 1


@pytest.mark.parametrize(
    ("version", "tested"),
    [
        ("0.26.9", False),
        ("0.27", True),
        ("0.27.0rc1", True),
        ("0.28.99", True),
        ("0.29", False),
        ("0.3", False),
        ("1", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_the_tested_range(version: str, tested: bool) -> None:
    row = Interceptor(name="x", tested=("0.27", "0.28"), limits="none")
    assert row.is_tested_with(version) is tested


def test_no_adapter_is_imported_before_its_library() -> None:
    libraries = sorted(
        {module for row in TABLE if row.library != PYTHON for module in row.adapters}
    )
    places = sorted(
        {place for row in TABLE if row.library != PYTHON for place in row.adapters.values()}
    )
    script = (
        "import sys\n"
        "import golem_sdk\n"
        "golem_sdk.Runtime.memory().close()\n"
        f"libraries, adapters = {libraries!r}, {[place.partition(':')[0] for place in places]!r}\n"
        "assert not set(libraries) & set(sys.modules), set(libraries) & set(sys.modules)\n"
        "assert not set(adapters) & set(sys.modules), set(adapters) & set(sys.modules)\n"
        "assert 'multiprocessing' not in sys.modules\n"
        "import tempfile, concurrent.futures.thread, multiprocessing.process\n"
        "targets = {line.target for line in golem_sdk.intercept.installed()}\n"
        "assert 'multiprocessing.process.BaseProcess.start' in targets\n"
        "assert 'concurrent.futures.thread.ThreadPoolExecutor.submit' in targets\n"
        "assert 'tempfile._Random' in targets\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# --- a library of our own -------------------------------------------------------------------------


def shop_patches(module: ModuleType) -> list[Patch]:
    return [Patch(module, "buy", lambda original: lambda: f"recorded {original()}")]


def timed_patches(module: ModuleType) -> list[Patch]:
    time.time()
    return shop_patches(module)


def broken_patches(module: ModuleType) -> list[Patch]:
    raise KeyError("no shop like this")


class Shop:
    """A library that is "imported" by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, adapter: str) -> None:
        self.module: Any = cast("Any", types.ModuleType("paper_shop"))
        self.module.__version__ = "1.4.2"
        self.module.buy = lambda: "paper"
        self.row = Interceptor(
            name="paper_shop",
            library="paper_shop",
            tested=("1", "1"),
            adapters={"paper_shop": f"{__name__}:{adapter}"},
            replaces=(Replaced("paper_shop", "buy", Treatment.WRITE_REMOTE),),
            limits="none",
        )
        monkeypatch.setitem(
            table.ACTIVATIONS, "paper_shop", [(self.row, *self.row.adapters.values())]
        )
        self._monkeypatch = monkeypatch

    def open(self) -> list[str]:
        """Import it; gives the warnings."""
        self._monkeypatch.setitem(sys.modules, "paper_shop", self.module)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            intercept.install()
        return [str(each.message) for each in caught]


@pytest.mark.usefixtures("bare")
def test_an_adapter_is_found_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(monkeypatch, "shop_patches")
    assert shop.open() == []
    assert shop.module.buy() == "recorded paper"
    assert ("paper_shop", "1.4.2", "paper_shop.buy") in intercept.installed()
    intercept.uninstall()
    assert shop.module.buy() == "paper"


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("version", ["0.9", "2.0", "next"])
def test_an_untested_version_is_patched_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    shop = Shop(monkeypatch, "shop_patches")
    shop.module.__version__ = version
    (warning,) = shop.open()
    assert f"paper_shop {version} is not a version" in warning
    assert "1 to 1" in warning
    assert shop.module.buy() == "recorded paper"


@pytest.mark.usefixtures("bare")
def test_a_library_without_version_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(monkeypatch, "shop_patches")
    del shop.module.__version__
    (warning,) = shop.open()
    assert "paper_shop unknown" in warning


@pytest.mark.usefixtures("bare")
def test_a_library_built_otherwise_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(monkeypatch, "shop_patches")
    buy = shop.module.buy
    shop.module.get, shop.module.buy = buy, None
    del shop.module.buy
    (warning,) = shop.open()
    assert "it lacks paper_shop.buy" in warning
    assert "not durable" in warning
    assert shop.module.get is buy


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("adapter", ["broken_patches", "not_there"])
def test_an_adapter_that_fails_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, adapter: str
) -> None:
    shop = Shop(monkeypatch, adapter)
    (warning,) = shop.open()
    assert "paper_shop 1.4.2 is not intercepted" in warning
    assert shop.module.buy() == "paper"


@pytest.mark.usefixtures("bare")
def test_what_an_adapter_does_is_not_agent_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Shop(monkeypatch, "timed_patches")
    (tmp_path / "paper_shop.py").write_text("__version__ = '1.4'\ndef buy(): return 'paper'\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        runs = run(lambda: import_module("paper_shop").buy())
    finally:
        sys.modules.pop("paper_shop", None)
    assert runs.live == runs.replayed == "recorded paper"
    assert runs.calls == []


def test_the_modules_that_activate() -> None:
    assert [row.name for row, _ in ACTIVATIONS["os"]] == [
        "entropy",
        "threads",
        "processes",
        "surroundings",
        "file-system",
        "file-lookups",
    ]


def test_libraries_that_are_imported_after_the_first_runtime_are_intercepted() -> None:
    program = (
        "import sys, warnings\n"
        "from importlib import import_module\n"
        "from golem_sdk import Runtime, intercept\n"
        "from golem_sdk.intercept.table import ACTIVATIONS, TABLE\n"
        "with warnings.catch_warnings(record=True) as caught, Runtime.memory():\n"
        "    warnings.simplefilter('always')\n"
        "    late = [row for row in TABLE if not {*row.adapters} & {*sys.modules}]\n"
        "    for module in sorted({module for row in late for module in row.adapters}):\n"
        "        try:\n"
        "            import_module(module)\n"
        "        except ModuleNotFoundError:\n"
        "            pass\n"
        "    replaced = {each.target for each in intercept.installed()}\n"
        "    print([str(each.message) for each in caught if 'intercepted' in str(each.message)])\n"
        "    print([name for row in late if {*row.adapters} <= {*sys.modules}\n"
        "           for name in row.functions if name.startswith(row.name) and name not in replaced])\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert finished.stdout.splitlines() == ["[]", "[]"]
