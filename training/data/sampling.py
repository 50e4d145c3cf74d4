"""A few recordings of many, for commands that need recordings and no classes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from spikinghash.files import visible_files
from training.data.reader import INPUTS, is_input, is_picture


def recording_files(places: Sequence[Path]) -> Iterator[Path]:
    """The files among ``places``, and those in folders among them, however deep; see ``visible_files``.

    The pictures of a folder are taken where it holds no recordings: beside these they are what a camera shows of them.

    Raises:
        RecordingError: a folder holds none.
    """
    for place in places:
        inside = sorted(filter(is_input, visible_files(place))) if place.is_dir() else [place]
        if not inside:
            raise RecordingError(f"{place}: holds no recording or picture ({', '.join(INPUTS)})")
        yield from [path for path in inside if not is_picture(path)] or inside


def sample_files(place: Path, count: int) -> list[Path]:
    """At most ``count`` files of a folder, evenly spread over their names; the file itself."""
    files = list(recording_files([place]))
    chosen = np.unique(np.linspace(0, len(files) - 1, min(count, len(files))).astype(int))
    return [files[index] for index in chosen.tolist()]


def spread_windows(files: Sequence[NDArray[np.uint8]], count: int) -> NDArray[np.uint8]:
    """At most ``count`` windows of ``files``, each (windows, T, 2, H, W): the first of each, then the second, ..."""
    longest = max(map(len, files))
    order = [file[number] for number in range(longest) for file in files if number < len(file)]
    return np.stack(order[:count])
