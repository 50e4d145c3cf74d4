"""The helpers that judge pages in a browser find what they are for."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import CONTRAST, PHONE, too_faint, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def faulty(tmp_path: Path) -> str:
    """A page that does everything wrong, and one line of text right."""
    page = tmp_path / "faulty.html"
    page.write_text(
        "<!DOCTYPE html><title>x</title><style>body { background: #fff; color: #000 }</style>"
        '<p style="color: #777">grey</p><p style="color: #767676">enough</p><p style="font-size: 24px; color: #777">'
        'large</p><p style="width: 900px">wide</p><script>console.error("said"); throw Error("thrown")</script>'
        '<svg width="9" height="9"><text fill="#eee">drawn</text></svg>'
        '<div style="background: #0008"><p style="color: #0008">layers</p></div><img src="absent.png">'
    )
    return page.as_uri()


def test_faults_are_found(chromium: "Browser", faulty: str) -> None:
    with visit(chromium, faulty, size=PHONE) as opened:
        assert any("said" in error for error in opened.errors)
        assert any("thrown" in error for error in opened.errors)
        assert [address.rpartition("/")[2] for address in opened.requests] == ["faulty.html", "absent.png"]
        assert opened.overflow() > 500


def test_contrast_is_that_of_wcag(chromium: "Browser", faulty: str) -> None:
    """#777777 on white has 4.48, #767676 has 4.54: the well-known pair on either side of the limit."""
    with visit(chromium, faulty) as opened:
        ratios = {m["text"]: m["ratio"] for m in opened.page.evaluate(CONTRAST)}
        assert ratios["grey"] == pytest.approx(4.48, abs=0.005)
        assert ratios["enough"] == pytest.approx(4.54, abs=0.005)
        assert ratios["wide"] == pytest.approx(21, abs=0.005)
        assert ratios["drawn"] == pytest.approx(1.16, abs=0.01)
        grey = 255 * (1 - 0x88 / 255)
        assert ratios["layers"] == pytest.approx(_ratio(grey, grey * (1 - 0x88 / 255)), rel=0.02)
        assert [text.split(": ")[1] for text in too_faint(opened.page)] == ["grey", "drawn", "layers"]


def _ratio(lighter: float, darker: float) -> float:
    """Contrast of two greys of levels above 10."""
    one, two = (((level / 255 + 0.055) / 1.055) ** 2.4 for level in (lighter, darker))
    return (one + 0.05) / (two + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colour_scheme_is_the_one_asked_for(chromium: "Browser", faulty: str, scheme: str) -> None:
    with visit(chromium, faulty, colour_scheme=scheme) as opened:  # type: ignore[arg-type]
        assert opened.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
