"""Parts of the project that need more than what ``pip install spikinghash`` brings."""

import contextlib
from collections.abc import Iterator

from spikinghash.errors import MissingToolError

EXTRAS = {
    "mlxtend": "train", "norse": "train", "ptwt": "train", "tonic": "train", "torch": "train",
    "dv_processing": "live", "neuromorphic_drivers": "live", "event_stream": "formats", "rosbags": "formats",
    "hdf5plugin": "formats",
    "networkx": "viz", "onnx": "export", "pyarrow": "ray", "pymilvus": "milvus", "ray": "ray",
}  # fmt: skip
"""The extra that brings a package. ``train`` brings all that ``export`` does."""


def missing_extra(error: ModuleNotFoundError) -> MissingToolError | None:
    """What to tell of a package that could not be imported; ``None`` if no extra brings it.

    >>> print(missing_extra(ModuleNotFoundError(name="torch.nn")))
    torch is not installed, which this needs: pip install 'spikinghash[train]'
    """
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return MissingToolError(
        f"{package} is not installed, which this needs: pip install 'spikinghash[{EXTRAS[package]}]'"
    )


@contextlib.contextmanager
def told_of_extras() -> Iterator[None]:
    """Within the context a package that an extra would bring is asked for in one line.

    Raises:
        MissingToolError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        raise missing from None
