"""Tables (``.csv``): a first line that names the columns, then one event a line in whole numbers.

Columns are x, y, t (or timestamp; microseconds) and p (or polarity; 0 or 1, or -1 or 1), in any order; others are left
out. A table without names is refused, since programs write their columns in different orders.
"""

import csv
from pathlib import Path

import numpy as np

from spikinghash.errors import RecordingError
from training.data.events import FIELDS, Events, pack_events

_ALSO = {"timestamp": "t", "polarity": "p"}


def read(path: Path) -> tuple[Events, None]:
    """Events of the file ``path``, which does not tell the size of its sensor.

    Raises:
        RecordingError: columns are missing, or a line holds no whole numbers; the line is named.
    """
    try:
        columns = _columns(path)
        with path.open(encoding="utf-8") as file:
            rows = _numbers(file.readlines()[1:], columns)
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path}: no text file: byte {error.start} is no UTF-8; is it a .csv?") from None
    except ValueError as error:
        raise _bad_line(path, columns, error) from None
    return pack_events({field: rows[:, index] for index, field in enumerate(FIELDS)}, str(path)), None


def _numbers(lines: list[str], columns: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    if not any(line.strip() for line in lines):
        return np.zeros((0, len(columns)), np.int64)
    return np.loadtxt(lines, np.int64, comments=None, delimiter=",", usecols=columns, ndmin=2)


def _columns(path: Path) -> list[int]:
    """Where x, y, t and p are."""
    with path.open(encoding="utf-8") as file:
        line = file.readline(1000)
    names = [name.strip().lower().lstrip("\ufeff") for name in line.split(",")]
    names = [_ALSO.get(name, name) for name in names]
    missing = [field for field in FIELDS if field not in names]
    if missing:
        raise RecordingError(
            f"{path}: line 1: it names no column {', '.join(missing)}, but reads {line.strip()[:40]!r}; "
            "begin the file with a line such as x,y,t,p"
        )
    return [names.index(field) for field in FIELDS]


def _bad_line(path: Path, columns: list[int], error: ValueError) -> RecordingError:
    """Find the line that NumPy could not read."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for row in rows:
            for field, index in zip(FIELDS, columns, strict=True):
                text = row[index].strip() if index < len(row) else ""
                if row and not text.lstrip("+-").isdecimal():
                    return RecordingError(f"{path}: line {rows.line_num}: {field} = {text!r} is no whole number")
    return RecordingError(f"{path}: {' '.join(str(error).split())}")
