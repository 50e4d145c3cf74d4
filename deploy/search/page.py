"""What a query found, as a page: the recordings as small animations of their events, drawn by a script in the page."""

import base64
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from deploy.search.ranking import Find
from deploy.search.searcher import Answer, Hit
from spikinghash.errors import SpikinghashError
from spikinghash.files import atomic_path
from spikinghash.templates import html_templates
from training.data.binning import place_events
from training.data.reader import Reader
from training.data.recordings import Recording
from training.data.windows import clip, in_seconds

FILM_STEPS = 24
"""Pictures of an animation, whatever the length of the recording."""
LARGEST_FILM = 96
"""Width and height of an animation in pixels, at most; recordings of larger sensors are scaled down."""
CACHED_FILMS = 512
"""Animations of hits that are kept; one takes 10 to 75 kB."""

TITLES: dict[Find, str] = {"class": "Same class", "recording": "Same recording"}
"""How the page calls what is looked for."""

TEMPLATES = html_templates(Path(__file__).parent)


def write_html(path: Path, answers: Sequence[Answer]) -> None:
    """Write the ``answers`` to one query as a page that needs nothing else; it is either whole or absent.

    A hit whose file is gone or cannot be read any more is shown with a note in place of its animation.
    """
    described = {answer.find: describe_answer(answer) for answer in answers}
    titles = {find: title for find, title in TITLES.items() if find in described}
    page = TEMPLATES.get_template("page.html").render(answers=described, titles=titles, nonce="")
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def describe_answer(answer: Answer, *, films: bool = True) -> dict[str, Any]:
    """What the page's script shows of ``answer``, fit for JSON; with ``films`` or without."""
    query: dict[str, Any] = {"name": answer.name} | in_seconds(answer.recording.window)
    if answer.remarks:
        query["remarks"] = list(answer.remarks)
    shape = None if answer.frames is None else (len(answer.frames), answer.frames.shape[-1])
    return {
        "code": answer.code,
        "bits": 4 * len(answer.code),
        "query": query | (_films(answer.recording, shape) if films else {}),
        "find": answer.find,
        "choice": answer.choice,
        "hits": [_describe_hit(hit, films, shape) for hit in answer.hits],
    }


def _describe_hit(hit: Hit, films: bool, shape: tuple[int, int] | None) -> dict[str, Any]:
    name = "/".join(hit.path.parts[-2:])
    shown = {"name": name, "label": hit.label, "distance": hit.distance, "difference": hit.difference}
    shown |= in_seconds(hit.window)
    if not films:
        return shown
    try:
        return shown | _films_of_file(hit.path, hit.reader, hit.path.stat().st_mtime_ns, hit.window, shape)
    except (SpikinghashError, OSError):
        return {**shown, "note": "its file is gone or cannot be read"}


@lru_cache(maxsize=CACHED_FILMS)
def _films_of_file(
    path: Path, reader: Reader, modified: int, window: tuple[int, int] | None, shape: tuple[int, int] | None
) -> dict[str, Any]:
    return _films(clip(_loaded(path, reader, modified), window), shape)


@lru_cache(maxsize=1)
def _loaded(path: Path, reader: Reader, modified: int) -> Recording:
    """The file of which the last window was shown: others of it are often shown next."""
    return reader.whole(path)


def _films(recording: Recording, shape: tuple[int, int] | None) -> dict[str, Any]:
    """The events of a recording, and its frames in an encoder's ``shape``: time steps and size."""
    shown = {"film": film(recording)}
    if shape is not None:
        frames = recording.frames(*shape)
        bits = base64.b64encode(np.packbits(frames).tobytes()).decode()
        shown["frames"] = {"size": shape[1], "steps": shape[0], "events": len(recording.events), "bits": bits}
    return shown


def film(recording: Recording) -> dict[str, Any]:
    """The events of a recording as ``steps`` binary pictures of ``size`` x ``size`` pixels.

    Returns:
        ``size``, ``steps``, ``events`` (how many the recording has) and ``bits``: base64 of the packed bits
        (steps, 2, size, size), channel 0 ON, 1 OFF. Equal spans of time, all events in them; the last may be
        empty.
    """
    events = recording.events
    size = min(max(recording.sensor[:2]), LARGEST_FILM)
    x, y, inside = place_events(events, recording.sensor, size)
    elapsed = events["t"] - events["t"][0]
    steps = elapsed // (elapsed[-1] // FILM_STEPS + 1)
    pictures = np.zeros((FILM_STEPS, 2, size, size), np.uint8)
    pictures[steps[inside], 1 - events["p"][inside].astype(np.int64), y[inside], x[inside]] = 1
    bits = base64.b64encode(np.packbits(pictures).tobytes()).decode()
    return {"size": size, "steps": FILM_STEPS, "events": len(events), "bits": bits}
