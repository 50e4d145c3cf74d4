"""Continuous integration hides nothing: what a test lacks fails there, and skips elsewhere."""

import subprocess
from pathlib import Path

import pytest

from tests.lacking import STRICT, lacking

RUN = Path(__file__).resolve().parents[1] / ".ci" / "run"


def test_what_is_lacking_skips_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STRICT, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        lacking("no Chromium")
    monkeypatch.setenv(STRICT, "1")
    with pytest.raises(pytest.fail.Exception, match=r"no Chromium; .* nothing may be skipped"):
        lacking("no Chromium")


def test_a_browser_test_fails_where_it_may_not_be_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests import browser

    monkeypatch.setenv("PATH", str(tmp_path))
    for value, outcome in (("", pytest.skip.Exception), ("1", pytest.fail.Exception)):
        monkeypatch.setenv(STRICT, value)
        with pytest.raises(outcome, match="apt-get install chromium"):
            browser.executable()


def test_continuous_integration_is_strict_and_is_shell() -> None:
    text = RUN.read_text()
    assert f"export {STRICT}=1" in text
    assert text.index(f"export {STRICT}=1") < text.index("make test")
    subprocess.run(["bash", "-n", RUN], check=True)
