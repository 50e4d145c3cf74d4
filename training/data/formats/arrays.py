"""Arrays of NumPy (``.npy``): a structured array with fields x, y, t, p, or rows of x, y, t, p (tonic's order)."""

from pathlib import Path

import numpy as np

from spikinghash.arrays import map_array
from spikinghash.errors import RecordingError
from training.data.events import FIELDS, Events, pack_events


def read(path: Path) -> tuple[Events, None]:
    """Events of the file ``path``, which does not tell the size of its sensor.

    Raises:
        RecordingError: the file is damaged, or holds an array of another kind.
    """
    try:
        array = map_array(path)
    except ValueError as error:
        raise RecordingError(f"{path}: damaged, or no .npy file of numbers: {error}; write it again") from None
    if array.dtype.names and set(FIELDS) <= set(array.dtype.names) and array.ndim == 1:
        columns = {field: np.asarray(array[field]) for field in FIELDS}
    elif array.dtype.names is None and array.ndim == 2 and array.shape[1] == len(FIELDS):
        columns = {field: np.asarray(array[:, index]) for index, field in enumerate(FIELDS)}
    else:
        raise RecordingError(
            f"{path}: an array of shape {array.shape} and type {array.dtype}; needed are rows of x, y, t, p, "
            "or a structured array with these fields"
        )
    return pack_events(columns, str(path)), None
