"""The integer network in a file: in the metadata of an ONNX model, or to be built from a checkpoint."""

from pathlib import Path

from export.encoder.integer import KEY, IntegerNetwork
from export.onnx.properties import read_property
from spikinghash.errors import GraphError


def holds_network(path: Path) -> bool:
    """Whether the ONNX model ``path`` holds its integer network; those of float numbers and older ones do not."""
    return read_property(path, KEY) is not None


def read_network(path: Path) -> IntegerNetwork:
    """The integer network of an ONNX model; that of a checkpoint is built, with torch.

    Raises:
        SpikinghashError: the file cannot be read, or holds none.
    """
    if path.suffix == ".pt":
        from export.encoder.network import load_network

        return load_network(path).integer()
    text = read_property(path, KEY)
    if text is None:
        raise GraphError(
            f"{path}: it holds no integer network, which the backend events runs: export it again, in integers, or use "
            "--backend onnxruntime"
        )
    return IntegerNetwork.from_text(text, str(path))
