"""Arrays from files that others wrote."""

from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray


def map_array(path: Path) -> NDArray[Any]:
    """The array of numbers in the ``.npy`` file ``path``, mapped: a length that the file claims is not allocated.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, holds objects, or several arrays.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    # NumPy parses the header as Python source, and does not say what that raises.
    except (ValueError, EOFError, OverflowError, SyntaxError, TypeError, TokenError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("several arrays; numpy.save writes one")
    return array
