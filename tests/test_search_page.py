"""The written page of a query: what it holds, and what a browser makes of it."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from browser import DESKTOP, PHONE, too_faint, visit
from numpy.typing import NDArray
from search_cases import write_random_recording

from deploy.search.page import FILM_STEPS, LARGEST_FILM, film, write_html
from deploy.search.searcher import Answer, Hit
from spikinghash.errors import WriteError
from training.data.recordings import EVENT_DTYPE, Recording, load_recording

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "</script><img src=x onerror=alert(1)>.bin"
PICTURE = """index => {
  const canvas = document.querySelectorAll('canvas')[index];
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return Array.from(data).filter((_, at) => at % 4 === 3);
}"""


@pytest.fixture
def answer(tmp_path: Path) -> Answer:
    """A query with three hits, the second of which is gone and the third of which is broken."""
    paths = [write_random_recording(tmp_path / "7" / f"{number}.bin", number) for number in range(3)]
    hits = [Hit(number, 3 * number, "7", path, difference=number or None) for number, path in enumerate(paths)]
    query = load_recording(write_random_recording(tmp_path / "query.bin", 9))
    paths[1].unlink()
    paths[2].write_bytes(b"1234567")
    return Answer(HOSTILE, "c0ffee00", query, hits, "3 of 5 at distance 6")


@pytest.fixture
def answers(answer: Answer) -> list[Answer]:
    """The same, and what was found for the recording: the first and the last, in another order."""
    last, _, first = answer.hits
    return [answer, replace(answer, hits=[first, last], choice="2 of 9 within distance 12", find="recording")]


def decoded(shown: dict[str, Any]) -> NDArray[np.uint8]:
    shape = (shown["steps"], 2, shown["size"], shown["size"])
    bits = np.unpackbits(np.frombuffer(base64.b64decode(shown["bits"]), np.uint8))
    return bits[: np.prod(shape)].reshape(shape)


def test_a_film_shows_every_event_at_its_time_and_place(tmp_path: Path) -> None:
    recording = load_recording(write_random_recording(tmp_path / "a.bin", 1))
    shown = film(recording)
    expected = np.zeros((FILM_STEPS, 2, 34, 34), np.uint8)
    first, last = int(recording.events["t"][0]), int(recording.events["t"][-1])
    length = (last - first) // FILM_STEPS + 1
    for x, y, t, p in recording.events.tolist():
        expected[(t - first) // length, 0 if p else 1, y, x] = 1
    assert np.array_equal(decoded(shown), expected)
    assert shown["events"] == len(recording.events)


def test_films_of_large_sensors_are_small_and_single_moments_are_shown() -> None:
    events = np.zeros(2, EVENT_DTYPE)
    events["x"], events["y"] = [0, 345], [0, 259]
    shown = film(Recording(events, (346, 260, 2)))
    assert shown["size"] == LARGEST_FILM
    assert decoded(shown)[0].sum() == 2
    assert decoded(shown)[1:].sum() == 0


def test_the_page_holds_its_data_and_nothing_that_a_name_smuggles_in(answer: Answer, tmp_path: Path) -> None:
    write_html(tmp_path / "out.html", [answer])
    page = (tmp_path / "out.html").read_text()
    assert "<img" not in page
    data = json.loads(re.search(r"const answers = (.*);\n", page)[1])  # type: ignore[index]
    shown = data["class"]
    assert shown["query"]["name"] == HOSTILE
    assert shown["choice"] == "3 of 5 at distance 6"
    assert [(hit["distance"], hit["difference"]) for hit in shown["hits"]] == [(0, None), (3, 1), (6, 2)]
    assert ["film" in hit for hit in shown["hits"]] == [True, False, False]
    assert not re.search(r"https?://", page)


def test_a_page_that_cannot_be_written_leaves_nothing(answer: Answer, tmp_path: Path) -> None:
    (tmp_path / "out.html").mkdir()
    with pytest.raises(WriteError, match=r"out\.html: cannot be written: a folder"):
        write_html(tmp_path / "out.html", [answer])
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_the_page_in_a_browser(
    chromium: "Browser", answer: Answer, tmp_path: Path, size: tuple[int, int], scheme: Literal["light", "dark"]
) -> None:
    write_html(tmp_path / "out.html", [answer])
    address = (tmp_path / "out.html").as_uri()
    with visit(chromium, address, size, scheme) as opened:
        texts = opened.page.locator(".cards li").all_inner_texts()
        assert HOSTILE in texts[0]
        assert [text.split("\n")[0] for text in texts[1:]] == [
            "distance 0",
            *["its file is gone or cannot be read"] * 2,
        ]
        assert "label 7" in texts[1]
        for index, recording in enumerate((answer.recording, load_recording(answer.hits[0].path))):
            drawn = np.array(opened.page.evaluate(PICTURE, index)).reshape(34, 34) > 0
            expected = np.zeros((34, 34), bool)
            expected[recording.events["y"], recording.events["x"]] = True
            assert np.array_equal(drawn, expected), "a reader who wants no motion sees all events at once"
        assert opened.overflow() <= 0
        assert too_faint(opened.page) == []
        assert opened.errors == []
        assert [request for request in opened.requests if not request.startswith("data:")] == [address]


def test_the_two_orders_and_a_pair_in_step(chromium: "Browser", answers: list[Answer], tmp_path: Path) -> None:
    write_html(tmp_path / "out.html", answers)
    with visit(chromium, (tmp_path / "out.html").as_uri()) as opened:
        page = opened.page
        by_class, by_recording = (page.get_by_role("button", name=name) for name in ("Same class", "Same recording"))

        def titles() -> list[str]:
            return page.locator("ol.cards strong").all_inner_texts()

        assert titles() == ["distance 0", "distance 3, difference 1", "distance 6, difference 2"]
        assert by_class.get_attribute("aria-pressed") == "true"
        by_recording.click()
        assert titles() == ["distance 6, difference 2", "distance 0"]
        assert page.get_by_text("2 of 9 within distance 12").count() == 1
        assert (by_class.get_attribute("aria-pressed"), by_recording.get_attribute("aria-pressed")) == ("false", "true")

        page.get_by_role("button", name="Beside the query").nth(1).click()
        beside = page.locator(".pair li").all_inner_texts()
        assert [text.split("\n")[0] for text in beside] == ["query", "distance 0"]
        page.get_by_role("button", name="Play").click()
        page.wait_for_function("() => screens.every(screen => screen.step !== null)")
        # At any moment all screens show one step, the pair as the cards that it was taken from.
        steps, pictures = page.evaluate(f"""() => [
          screens.map(screen => screen.step), screens.map((_, index) => String(({PICTURE})(index)))
        ]""")
        assert len(set(steps)) == 1
        assert len(steps) == 4  # query and hit that is there, each as card and beside each other
        assert pictures[0] == pictures[1]  # the query, as card and in the pair
        assert pictures[2] == pictures[3]  # the hit, in the pair and as card
        by_class.click()
        assert page.locator(".pair").count() == 0
        assert page.evaluate("screens.length") == 2
        assert too_faint(page) == []
        assert opened.errors == []


def test_the_animation_plays_and_pauses(chromium: "Browser", answer: Answer, tmp_path: Path) -> None:
    write_html(tmp_path / "out.html", [answer])
    with visit(chromium, (tmp_path / "out.html").as_uri()) as opened:
        button = opened.page.get_by_role("button", name=re.compile("Play|Pause"))
        assert button.inner_text() == "Play"
        still = opened.page.evaluate(PICTURE, 0)
        button.click()
        assert button.inner_text() == "Pause"
        opened.page.wait_for_function(f"still => String(({PICTURE})(0)) !== String(still)", arg=still)
        button.click()
        assert opened.page.evaluate(PICTURE, 0) == still
