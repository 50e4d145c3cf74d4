"""The integer network in a file: in the metadata of an ONNX model, or to be built from a checkpoint."""

from pathlib import Path

from pydantic import ValidationError

from export.encoder.integer import KEY, IntegerNetwork
from export.onnx.properties import METADATA_KEY, read_property
from spikinghash.errors import GraphError
from spikinghash.seal import parse_json
from spikinghash.validation import first_fault
from training.data.facts import DataFacts


def holds_network(path: Path) -> bool:
    """Whether the ONNX model ``path`` holds its integer network; those of float numbers and older ones do not."""
    return read_property(path, KEY) is not None


def read_encoder(path: Path) -> tuple[IntegerNetwork, DataFacts | None]:
    """As ``read_network``, and what the network was trained on, where the file says it."""
    if path.suffix == ".pt":
        from export.encoder.network import load_network

        network = load_network(path)
        return network.integer(), network.data
    return read_network(path), _read_facts(path)


def _read_facts(path: Path) -> DataFacts | None:
    try:
        facts = parse_json(read_property(path, METADATA_KEY) or "{}").get("data")
        return None if facts is None else DataFacts.model_validate(facts)
    except (ValueError, AttributeError) as error:
        why = first_fault(error) if isinstance(error, ValidationError) else "no JSON of this project"
        raise GraphError(f"{path}: its metadata: {why}: export it again") from None


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
