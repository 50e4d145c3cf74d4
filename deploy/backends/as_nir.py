"""Any encoder as a NIR graph, for what counts and places populations: .onnx and .pt are lowered on the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.backends.events.check import check_network
from deploy.backends.events.files import read_network
from deploy.backends.runtime_backend import onnx_metadata
from export.encoder.integer import KEY
from export.onnx.properties import read_property
from spikinghash.errors import GraphError, SpikinghashError
from spikinghash.extras import told_of_extras
from spikinghash.files import private_folder
from spikinghash.progress import working
from spikinghash.resources import CHECKPOINTS, named, offered

if TYPE_CHECKING:
    from export.encoder.network import Network

LOWERED = (".onnx", ".pt")


@contextmanager
def as_nir(encoder: Path) -> Iterator[Path]:
    """The file ``encoder``, or, within the context, the graph that ``export.to_nir`` writes of its integer network.

    A bare name is an encoder that comes along.

    Raises:
        GraphError, CheckpointError: the file cannot be used.
        MissingToolError: lowering takes the extra ``export``.
    """
    encoder = named(encoder, CHECKPOINTS, ".onnx")
    if not encoder.exists() and (known := offered(encoder, CHECKPOINTS, ".onnx")):
        raise GraphError(f"{encoder}: no such file{known}")
    if encoder.suffix not in LOWERED:
        yield encoder
        return
    with private_folder() as folder:
        path = folder / f"{encoder.stem}.nir"
        with told_of_extras(), working(f"lowering {encoder.name}"):
            _lower(encoder, path)
        try:
            yield path
        except SpikinghashError as error:  # the user knows the encoder, not what was made of it
            raise type(error)(str(error).replace(str(path), str(encoder))) from None


def _lower(encoder: Path, path: Path) -> None:
    from export.encoder.network import load_network
    from export.nir.to_nir import export_nir

    export_nir(load_network(encoder) if encoder.suffix == ".pt" else _recorded(encoder), path)


def _recorded(model: Path) -> "Network":
    """The network of an ONNX model, from the records and the metadata that it holds."""
    from export.encoder.recorded import recorded_network

    metadata = onnx_metadata(model)
    if read_property(model, KEY) is None:
        raise GraphError(f"{model}: it holds float numbers and no integer network to lower: give its checkpoint (.pt)")
    integer, config = read_network(model), metadata.config(str(model))
    if config is None:
        raise GraphError(f"{model}: it does not state the sizes of its encoder: export it again")
    try:
        check_network(integer)
        return recorded_network(
            config,
            integer,
            checkpoint_sha256=metadata.checkpoint_sha256,
            grid_steps=metadata.grid_steps,
            dataset=metadata.dataset,
            classes=metadata.classes,
            data=metadata.data,
        )
    except GraphError as error:
        raise GraphError(f"{model}: {error}") from None
