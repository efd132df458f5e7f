"""The README's section on testing is run as a user would: with pytest and the plugin."""

from __future__ import annotations

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
