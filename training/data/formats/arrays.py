"""Arrays of NumPy: structured (``.npy``), rows of x, y, t, p in tonic's order (``.npy``), or one a field (``.npz``)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikinghash.arrays import map_array, read_archive, unpacked_size
from spikinghash.errors import RecordingError, in_one_line
from training.data.events import FIELDS, Asked, Decoded, find_fields, pack_events

LARGEST_UNPACKED, BEST_PACKED = 2**26, 100
"""Bytes of all arrays of a packed file, unpacked; times the size of the file, where that is more."""


def read(path: Path, _: Asked) -> Decoded:
    """Events of the array ``path``, which does not tell the size of its sensor.

    Raises:
        RecordingError: the file is damaged, or holds an array of another kind.
    """
    try:
        array = map_array(path)
    except ValueError as error:
        why = in_one_line(error)
        raise RecordingError(f"{path}: damaged, or no .npy file of numbers: {why}; write it again") from None
    return Decoded(pack_events(columns_of(array, str(path)), str(path)))


def columns_of(array: NDArray[Any], name: str) -> dict[str, NDArray[Any]]:
    """x, y, t and p, each (events,), of a structured array (events,) or of rows (events, 4).

    Raises:
        RecordingError: it is of another kind; ``name`` is in the message.
    """
    found = find_fields(array.dtype.names or ())
    if len(found) == len(FIELDS) and array.ndim == 1:
        return {field: np.asarray(array[column]) for field, column in found.items()}
    if array.dtype.names is None and array.ndim == 2 and array.shape[1] == len(FIELDS):
        return {field: np.asarray(array[:, index]) for index, field in enumerate(FIELDS)}
    raise RecordingError(
        f"{name}: an array of shape {array.shape} and type {array.dtype}; needed are rows of x, y, t, p, "
        "or a structured array with these fields"
    )


def read_npz(path: Path, _: Asked) -> Decoded:
    """Events of an archive with an array for each of x, y, t and p.

    Raises:
        RecordingError: the file is damaged, too large when unpacked, or its arrays are others.
    """
    try:
        check_unpacked(unpacked_size(path), path)
        arrays = read_archive(path)
    except ValueError as error:
        why = in_one_line(error)
        raise RecordingError(f"{path}: damaged, or no .npz file of numbers: {why}; write it again") from None
    found = find_fields(arrays)
    columns = {field: arrays[name] for field, name in found.items()}
    check_columns(arrays, found, {column.shape for column in columns.values()}, path)
    return Decoded(pack_events(columns, str(path)))


def check_unpacked(size: int, path: Path) -> None:
    """Refuse a file whose arrays claim more bytes, unpacked, than events pack to.

    Raises:
        RecordingError: they do.
    """
    limit = max(LARGEST_UNPACKED, BEST_PACKED * path.stat().st_size)
    if size > limit:
        raise RecordingError(f"{path}: {size} bytes when unpacked, at most {limit} are read of it; cut it into parts")


def check_columns(names: Iterable[str], found: Iterable[str], shapes: set[tuple[int, ...]], path: Path) -> None:
    """Check that the arrays ``names`` of a file are columns of all fields, of one length.

    Raises:
        RecordingError: they are not.
    """
    missing = [field for field in FIELDS if field not in found]
    if missing:
        raise RecordingError(
            f"{path}: no array {', '.join(missing)} in it, but {', '.join(sorted(names)) or 'none'}; "
            "one for each of x, y, t, p is needed"
        )
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        raise RecordingError(f"{path}: arrays of shapes {sorted(shapes)}; x, y, t, p need one length")
