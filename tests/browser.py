"""A headless browser for tests of pages; tests that ask for it skip where no chromium is found.

``chromium`` (in every test, through ``conftest.py``) is started once per worker. ``visit`` opens an address in a fresh
context of it and notes what a page must not do: write errors to the console, raise, or ask for anything else.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pytest

from tests.lacking import lacking

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

PHONE = (360, 740)
"""Width and height of a small phone, in CSS pixels."""
DESKTOP = (1280, 800)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SWITCHES = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
"""Containers lack what Chromium's sandbox needs, and most of them a large /dev/shm."""
_TIMEOUT_MS = 120_000
"""Generous: a loaded machine is no fault of a page."""


def executable() -> str:
    """The browser on the PATH."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    return found or lacking("no Chromium on the PATH, which browser tests need (on Debian: apt-get install chromium)")


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """A running headless Chromium; skips where there is none and some may be lacking."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = executable()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_SWITCHES), timeout=_TIMEOUT_MS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """An open page and what it did."""

    page: "Page"
    errors: list[str] = field(default_factory=list)
    """Console messages of level error or warning, and exceptions that nothing caught."""
    requests: list[str] = field(default_factory=list)
    """Addresses that were asked for, in order; the page's own is the first."""

    def overflow(self) -> int:
        """CSS pixels by which the page is wider than the window: 0 when nothing scrolls sideways."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def _console(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)


@contextmanager
def visit(
    browser: "Browser",
    address: str,
    size: tuple[int, int] = DESKTOP,
    colour_scheme: Literal["light", "dark"] = "light",
) -> Iterator[Visit]:
    """Open ``address`` (``path.as_uri()`` for a file) in a fresh context; ``size`` is (width, height) in CSS pixels."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=colour_scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(_TIMEOUT_MS)
    try:
        opened = Visit(context.new_page())
        opened.page.on("console", opened._console)
        opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.goto(address, wait_until="load")
        yield opened
    finally:
        context.close()


CONTRAST = """() => {
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const over = (top, below) => {
    const a = top.length > 3 ? top[3] : 1;
    return [0, 1, 2].map(i => top[i] * a + below[i] * (1 - a));
  };
  const luminance = rgb => {
    const [r, g, b] = rgb.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backdrop = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(channels(getComputedStyle(e).backgroundColor));
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    return layers.reverse().reduce((below, top) => over(top, below), dark ? [18, 18, 18] : [255, 255, 255]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, style = getComputedStyle(element);
    if (!walker.currentNode.data.trim() || !element.getClientRects().length || style.visibility === 'hidden') continue;
    const svg = element.closest('svg') && element.tagName.toLowerCase() !== 'svg';
    const ink = channels(svg ? style.fill : style.color), back = backdrop(element);
    const pair = [luminance(over(ink, back)), luminance(back)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    found.push({
      text: walker.currentNode.data.trim().slice(0, 40),
      ratio: (pair[0] + 0.05) / (pair[1] + 0.05),
      large: size >= 24 || (bold && size >= 18.66),
    });
  }
  return found;
}"""


def too_faint(page: "Page") -> list[str]:
    """Visible texts below the contrast that WCAG 2.2 asks for at level AA: 4.5, or 3 for large text (1.4.3).

    Contrast is (L1 + 0.05) / (L2 + 0.05) of the relative luminances of the text and of what lies behind it. Text over
    shapes inside an SVG is measured against the page behind the SVG.
    """
    measured = page.evaluate(CONTRAST)
    assert measured, "the page shows no text"
    return [f"{m['ratio']:.2f}: {m['text']}" for m in measured if m["ratio"] < (3 if m["large"] else 4.5)]
