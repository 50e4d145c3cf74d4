"""Text, one event a line: ``.csv`` and ``.txt``, separated by commas, or else by white space.

With a first line that names the columns these are x, y, t and p, or other usual names of them, in any order; others are
left out. Without one a line has four numbers, in the order t, x, y, p that most recordings of event cameras in text
have; a line of two numbers before them is the width and height of the sensor. A polarity is 0 or 1, -1 or 1, True or
False. Times are microseconds, or seconds where one of them is no whole number.
"""

import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data.events import EVENT_DTYPE, FIELDS, Asked, Decoded, SensorSize, find_fields, pack_events

_WITHOUT_NAMES = {"t": 0, "x": 1, "y": 2, "p": 3}
_WORDS = {"true": 1.0, "false": 0.0}
_LONGEST_LINE = 1000


def read(path: Path, _: Asked) -> Decoded:
    """Events of the file ``path``.

    Raises:
        RecordingError: columns are missing, or a line does not hold their numbers; the line is named.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path}: no text file: byte {error.start} is no UTF-8; is it a {path.suffix}?") from None
    if not lines:
        return Decoded(np.empty(0, EVENT_DTYPE))
    first = lines[0][:_LONGEST_LINE]
    separator = "," if "," in first else None
    places, sensor, skipped = _layout(first.split(separator), path)
    if skipped and not separator:  # the sensor's line has other separators than the events' may
        separator = "," if "," in "".join(lines[1:2]) else None
    rows = _numbers(lines, skipped, separator, places, path)
    columns = dict(zip(places, rows.T, strict=True))
    notes: tuple[str, ...] = ()
    if (columns["t"] != np.rint(columns["t"])).any():
        columns["t"] = np.rint(columns["t"] * 1e6)
        notes = ("times with fractions were taken for seconds",)
    return Decoded(pack_events(columns, str(path)), sensor, notes)


def _layout(first: list[str], path: Path) -> tuple[dict[str, int], SensorSize | None, int]:
    """Where the fields are, the sensor if the first line tells it, and how many lines come before the events."""
    words = [word.strip(" \t#%") for word in first if word.strip(" \t#%")]
    if words and all(_number(word) is not None for word in words):
        if len(words) == 2 and all(word.isdecimal() for word in words):
            return _WITHOUT_NAMES, (int(words[0]), int(words[1]), 2), 1
        if len(words) == len(FIELDS):
            return _WITHOUT_NAMES, None, 0
    found = find_fields(words)
    missing = [field for field in FIELDS if field not in found]
    if missing:
        raise RecordingError(
            f"{path}: line 1: it names no column {', '.join(missing)}, but reads {' '.join(words)[:40]!r}; "
            "begin the file with a line such as x,y,t,p"
        )
    sizes = [re.search(r"@(\d+)$", found[axis]) for axis in "xy"]
    sensor = (int(sizes[0][1]), int(sizes[1][1]), 2) if sizes[0] and sizes[1] else None
    return {field: words.index(found[field]) for field in FIELDS}, sensor, 1


def _numbers(
    lines: list[str], skipped: int, separator: str | None, places: dict[str, int], path: Path
) -> NDArray[np.float64] | NDArray[np.int64]:
    """Rows of the columns ``places``: whole numbers if all are, as they mostly are, which is read faster."""
    rows = lines[skipped:]
    if not any(row.strip() for row in rows):
        return np.zeros((0, len(places)), np.int64)
    options: dict[str, Any] = {"comments": None, "delimiter": separator, "usecols": [*places.values()], "ndmin": 2}
    try:
        with warnings.catch_warnings(action="error"):  # a fraction cut off is a warning of NumPy's
            return np.loadtxt(rows, np.int64, **options)
    except (ValueError, DeprecationWarning):
        pass
    try:
        return np.loadtxt(rows, np.float64, converters=_as_number, **options)
    except ValueError as error:
        raise _bad_line(lines, skipped, separator, places, path, error) from None


def _as_number(text: str) -> float:
    found = _number(text)
    if found is None:
        raise ValueError(f"{text!r} is no number")
    return found


def _number(text: str) -> float | None:
    """The finite number, or truth value, that ``text`` is."""
    word = text.strip().lower()
    try:
        number = _WORDS[word] if word in _WORDS else float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _bad_line(
    lines: list[str], skipped: int, separator: str | None, places: dict[str, int], path: Path, error: ValueError
) -> RecordingError:
    """Find the line that NumPy could not read."""
    for number, line in enumerate(lines[skipped:], skipped + 1):
        words = line.split(separator)
        for field, place in places.items():
            text = words[place].strip() if place < len(words) else ""
            if line.strip() and _number(text) is None:
                return RecordingError(f"{path}: line {number}: {field} = {text[:40]!r} is no number")
    return RecordingError(f"{path}: {' '.join(str(error).split())}")
