"""What is told of event files, against counts by hand; and the list of formats."""

import json
from pathlib import Path

import event_files
import numpy as np
import pytest
from commands import Call

from training.data.events import EVENT_DTYPE
from training.data.recordings import FORMATS, SUFFIXES, Recording
from training.formats import main as formats
from training.info import count_pixels, hot_pixels
from training.info import main as info

ROOT = Path(__file__).resolve().parents[1]
ROWS = [(3, 7, 1000, 1), (4, 7, 1000, 1), (70, 7, 2000, 1), (2, 9, 20_000, 0), (33, 1, 501_000, 1)]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    event_files.evt3(tmp_path / "one.raw", ROWS, 64, 48)
    return tmp_path / "one.raw"


def test_facts_are_those_of_the_events(call: Call, recording: Path, tmp_path: Path) -> None:
    picture = tmp_path / "one.png"
    code, out, err = call(info, recording, "--json", "--out", picture)
    assert (code, err) == (0, "")
    assert json.loads(out) == [
        {
            "file": str(recording), "width": 64, "height": 48, "events": 4, "seconds": 0.5, "rate": 8.0, "on": 0.75,
            "hot_pixels": 0, "notes": ["1 of 5 events lie outside the sensor of 64x48 and were left out"],
        }
    ]  # fmt: skip
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_read_is_skipped_and_said(call: Call, recording: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.npy").write_bytes(b"no array")
    code, out, err = call(info, recording, tmp_path / "bad.npy")
    assert code == 3
    assert "  events      4\n" in out
    assert err.startswith(f"skipped: {tmp_path / 'bad.npy'}: damaged")
    assert call(info, tmp_path / "bad.npy")[:2] == (2, "")
    assert "use .png or .svg" in call(info, recording, "--out", tmp_path / "one.gif").err


def test_hot_pixels_have_far_more_events_than_those_around_them() -> None:
    events = np.zeros(20 * 30 * 4 + 500 + 30, EVENT_DTYPE)
    everywhere = np.tile(np.mgrid[:20, :30].reshape(2, -1), 4)
    events["y"][:2400], events["x"][:2400] = everywhere
    events["x"][2400:2900], events["y"][2400:2900] = 7, 0  # in the border
    events["x"][2900:], events["y"][2900:] = 20, 10  # busy, but no more than 34 events
    found = hot_pixels(count_pixels(Recording(events, (30, 20, 2))))
    assert np.argwhere(found).tolist() == [[0, 7]]


def test_all_formats_are_listed_and_in_the_docs(call: Call) -> None:
    code, out, _ = call(formats)
    page = (ROOT / "docs" / "formats.md").read_text()
    assert code == 0
    for suffix in SUFFIXES:
        assert suffix in out
    for one in FORMATS:
        suffixes = " ".join(f"`{suffix}`" for suffix in one.suffixes)
        assert f"| {suffixes} | {one.name} | {one.decoder} | {one.sensor} |" in page
