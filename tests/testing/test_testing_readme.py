"""The README's section on testing is run as a user would: with pytest and the plugin."""

from __future__ import annotations

import re

import pytest

from static.source_tree import ROOT
from testing.inner import run_tests


@pytest.mark.once
def test_the_readme_s_tests_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = (ROOT / "README.md").read_text().split("```python\n")[1:]
    pytester.makepyfile(test_readme="\n\n".join(block.partition("```")[0] for block in blocks))
    run_tests(pytester, monkeypatch, "--golem-record").assert_outcomes(passed=7)
    played = run_tests(pytester, monkeypatch, "-k", "without_the_payment_provider")
    played.assert_outcomes(passed=1, deselected=6)


@pytest.mark.once
def test_a_test_that_fails_as_the_readme_writes_it_shows_what_was_found(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (asserted,) = re.findall(r"(?m)^assert report\.ok.*$", (ROOT / "README.md").read_text())
    pytester.makepyfile(
        "from golem_sdk import agent\n"
        "from golem_sdk.testing import crash_at_every_index\n"
        "ASKED = []\n"
        "@agent\n"
        "def asked(item: str) -> int:\n"
        "    ASKED.append(item)\n"
        "    return len(ASKED)\n"
        "def test_it():\n"
        "    report = crash_at_every_index(asked, 'lamp')\n"
        f"    {asserted}\n"
    )
    shown = run_tests(pytester, monkeypatch).stdout
    shown.fnmatch_lines(
        [
            "*#  ENTRY *",
            "*1. DIVERGED: another result*",
            "*mend *",
            '*False = <Report of asked("lamp"): 1 fault: * DIVERGED*; print it>.ok',
        ]
    )
