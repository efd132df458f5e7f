"""Runs the tests of a user: in a process of their own, with the plugin and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from static.source_tree import ROOT

if TYPE_CHECKING:
    import pytest

__all__ = ["run_tests"]


def run_tests(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
    plugin: str = "golem_sdk.testing.plugin",
) -> pytest.RunResult:
    """Run pytest in the test's directory. Any warning is an error there."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini(
        "[pytest]\nfilterwarnings = error\nstrict = true\naddopts = -p no:cacheprovider\n"
    )
    return pytester.runpytest_subprocess("-p", plugin, *arguments)
