"""The page in a headless browser: offline, quiet, readable on a phone, light and dark."""

import re
from typing import TYPE_CHECKING, Literal

import pytest
from browser import DESKTOP, PHONE, too_faint, visit
from report_cases import HOSTS, report_of

from deploy.report.answers import LABELS
from deploy.report.page import page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Scheme = Literal["light", "dark"]
SCHEMES: list[Scheme] = ["light", "dark"]
SIZES = {"small phone": PHONE, "phone": (390, 844), "desktop": DESKTOP}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(report_of(hosts=HOSTS)))
    return path.as_uri()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_is_quiet_offline_and_readable(chromium: "Browser", address: str, size: str, scheme: Scheme) -> None:
    with visit(chromium, address, SIZES[size], scheme) as opened:
        assert opened.errors == []
        assert opened.requests == [address]
        assert opened.overflow() <= 0
        assert too_faint(opened.page) == []
        opened.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert opened.overflow() <= 0
        assert too_faint(opened.page) == []


@pytest.mark.parametrize("size", SIZES)
def test_the_first_screen_holds_the_answer(chromium: "Browser", address: str, size: str) -> None:
    width, height = SIZES[size]
    with visit(chromium, address, (width, height)) as opened:
        answer = opened.page.locator(".answer").bounding_box()
        assert answer is not None
        assert answer["y"] + answer["height"] <= height
        assert opened.page.locator(".answer dt:visible").count() == len(LABELS) + 1, "and what was measured here"
        assert opened.page.evaluate("document.documentElement.scrollHeight") <= 12_000


@pytest.mark.parametrize("size", SIZES)
def test_the_figures_need_no_sideways_scrolling(chromium: "Browser", address: str, size: str) -> None:
    """Each platform with a figure in one row, nothing of it cut off or beyond the window."""
    with visit(chromium, address, SIZES[size]) as opened:
        cells = opened.page.locator(".figures td:visible")
        edges = cells.evaluate_all("cells => cells.map(cell => cell.getBoundingClientRect().right)")
        assert len(edges) > 30
        assert max(edges) <= SIZES[size][0]
        assert all(cells.evaluate_all("cells => cells.map(cell => cell.scrollWidth <= cell.clientWidth + 1)"))


@pytest.mark.parametrize("size", SIZES)
def test_the_chart_is_unfolded_on_request(chromium: "Browser", address: str, size: str) -> None:
    width, height = SIZES[size]
    with visit(chromium, address, (width, height)) as opened:
        assert opened.page.locator("svg:visible").count() == 0
        opened.page.get_by_text("mAP against energy").click()
        charts = [box for each in opened.page.locator("svg").all() if (box := each.bounding_box())]
        assert len(charts) == 1
        assert charts[0]["width"] > 0.85 * min(width, 1088)
        assert charts[0]["height"] <= height
        assert opened.page.locator("svg:visible title").count() > 5


def test_light_and_dark_differ(chromium: "Browser", address: str) -> None:
    colours = {}
    for scheme in SCHEMES:
        with visit(chromium, address, colour_scheme=scheme) as opened:
            colours[scheme] = opened.page.evaluate(
                "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
            )
    light, dark = ([_brightness(colour) for colour in colours[scheme]] for scheme in SCHEMES)
    assert light[0] > 200 > 60 > light[1]
    assert dark[1] > 200 > 60 > dark[0]


def _brightness(colour: str) -> float:
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3


def test_links_lead_to_sections(chromium: "Browser", address: str) -> None:
    with visit(chromium, address) as opened:
        targets = opened.page.eval_on_selector_all("a", "links => links.map(link => link.getAttribute('href'))")
        assert len(targets) > 5
        assert opened.page.evaluate("targets => targets.filter(each => !document.querySelector(each))", targets) == []
