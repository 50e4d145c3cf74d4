"""What a written encoder says about itself, stored as JSON in the file."""

import io
import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import nir
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from export.encoder.forms import Biases, Numbers, Streams
from export.encoder.work import Work
from export.nir.read import KEY, read_graph
from spikinghash.errors import GraphError
from spikinghash.seal import NIR, parse_json
from spikinghash.validation import first_fault
from training.config import LARGEST_SIZE, LARGEST_STEPS, LARGEST_WIDTH, EncoderConfig
from training.data.facts import DataFacts

FORMAT = 1
"""Version of the metadata; a reader refuses any other."""

_AGAIN = "export it again"
VALID_LAYOUT = "(ON, OFF, valid) x height x width; valid is 1 during the window, 0 while the pipeline drains"

Dialect = Literal["native", "portable"]
LARGEST_LATENCY = 2**16
"""Steps."""

Count = Annotated[int, Field(ge=1, le=LARGEST_WIDTH)]
Steps = Annotated[int, Field(ge=1, le=LARGEST_STEPS)]
Latency = Annotated[int, Field(ge=0, le=LARGEST_LATENCY)]


class EncoderLayer(BaseModel):
    """A layer of the encoder and the nodes that hold it."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["map", "qkv", "gates", "head"]
    nodes: tuple[str, ...]
    shape: tuple[Count, Count, Count]
    """(C, H, W) of the layer."""
    latency: Latency = 0
    """Steps by which it lags behind the input."""
    polyphase: Count = 1
    """Space-to-depth factor of its layout."""


class Metadata(BaseModel):
    """Everything a backend needs to know besides the graph."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    format: int = FORMAT
    dialect: Dialect | Literal["onnx", "ncnn"]
    numbers: Numbers
    dt: Annotated[float, Field(ge=0)]
    """Seconds."""
    time_steps: Steps
    latency: Latency
    """Steps from a frame to its effect on the output; a run takes time_steps + latency steps."""
    size: Annotated[int, Field(ge=2, le=LARGEST_SIZE)]
    """Height and width of a frame."""
    bits: Count
    """Of a code; of a classification head the number of classes."""
    vote: Steps
    spike_rule: str = "v > threshold, then v = 0"
    input_layout: str
    streams: Streams = "copied"
    """Whether residual streams are populations with graded spikes (``shared``); in older files they are not."""
    biases: Biases = "line"
    """Whether they are synapses from the valid line, or leak potentials of the neurons."""
    valid: bool = True
    """Whether the input has the valid line as its last channel; a graph that nothing makes late may do without."""
    flat: bool = False
    """Whether the graph reads flat arrays."""
    populations: tuple[EncoderLayer, ...]
    serves: dict[str, str] = {}
    groups: dict[str, str] = {}
    """Part of the encoder that each node belongs to; files of former versions lack them."""
    grid_steps: dict[str, float] = {}
    """Currents of the float network per grid unit, by population."""
    certificate: dict[str, Any] | None = None
    checkpoint_sha256: str
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of the outputs, of a classification head; empty where there are codes."""
    dataset: str = ""
    """Name of the data set that the checkpoint was trained on, as in its config; empty in older files."""
    data: DataFacts | None = None
    """What the recordings were that it was trained on; ``None`` in older files."""
    encoder: dict[str, Any] | None = None
    """Sizes of the encoder, as in its config."""
    work: Work | None = None
    """What the encoder does before anything is lowered; files of former versions lack it."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.classes and len(self.classes) != self.bits:
            raise ValueError(f"classes has {len(self.classes)} names, bits is {self.bits}")
        for key in ("time_steps", "size", "bits"):
            told, described = getattr(self, key), (self.encoder or {}).get(key)
            if described not in (None, told):
                raise ValueError(f"{key} is {told}, but {described!r} in its encoder")
        return self

    @property
    def form(self) -> str:
        """How the encoder was lowered, in words."""
        return f"{self.dialect}, streams {self.streams}, biases {self.biases}"

    def config(self, source: str) -> EncoderConfig | None:
        """Sizes of the encoder, where they are told; ``source`` is named in messages.

        Raises:
            GraphError: they cannot be used.
        """
        if self.encoder is None:
            return None
        try:
            return EncoderConfig.model_validate(self.encoder)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise GraphError(f"{source}: its metadata's encoder.{where} cannot be used: {_AGAIN}") from None

    @property
    def steps(self) -> int:
        """Steps of one run."""
        return self.time_steps + self.latency


def parse_onnx_metadata(text: str | None, source: str) -> Metadata:
    """Metadata of an ONNX model from its property ``KEY``, if it has one; ``source`` is named in messages.

    Raises:
        GraphError: it has none, or as ``parse_metadata``.
    """
    if text is None:
        raise GraphError(f"{source}: an ONNX model, but no encoder: it lacks the metadata '{KEY}'")
    return parse_metadata(text, source)


def parse_metadata(text: str | bytes, source: str) -> Metadata:
    """Metadata from its JSON; ``source`` is named in messages.

    Raises:
        GraphError: it is not JSON, of another version, or incomplete.
    """
    try:
        values = parse_json(text)
        version = values["format"]
    except (ValueError, KeyError, TypeError):
        raise GraphError(f"{source}: its metadata is no JSON of this project: export it again") from None
    if version != FORMAT:
        raise GraphError(f"{source}: metadata format {version}, this version reads {FORMAT}: export it again")
    try:
        return Metadata.model_validate(values)
    except ValidationError as error:
        raise GraphError(f"{source}: metadata key {first_fault(error)}: export it again") from None


def write_nir(path: Path, graph: nir.NIRGraph, metadata: Metadata) -> None:
    """Write ``graph`` with ``metadata``, sealed. Byte-deterministic; gzip inside."""
    graph.metadata[KEY] = metadata.model_dump_json()
    content = io.BytesIO()  # HDF5 cannot end well on a full disk
    nir.write(content, graph)
    path.write_bytes(NIR.sealed(content.getvalue()))


def read_metadata(graph: nir.NIRGraph, source: str) -> Metadata | None:
    """Metadata of an encoder, or ``None`` for a graph of another origin.

    Raises:
        GraphError: the metadata are broken or of another version.
    """
    text = graph.metadata.get(KEY)
    if text is None:
        return None
    return parse_metadata(text if isinstance(text, bytes) else str(text), source)


def read_encoder(path: Path) -> tuple[nir.NIRGraph, Metadata]:
    """Read an encoder that ``export.to_nir`` wrote.

    Raises:
        GraphError: the file cannot be read, is no encoder of this project, or of other shapes than it tells.
    """
    graph = read_graph(path)
    metadata = read_metadata(graph, str(path))
    if metadata is None:
        raise GraphError(
            f"{path}: a NIR graph, but no encoder: it lacks the metadata '{KEY}'; run it with --input instead"
        )
    _check_shapes(graph, metadata, str(path))
    return graph, metadata


def _check_shapes(graph: nir.NIRGraph, metadata: Metadata, source: str) -> None:
    ends = {
        "Input": (nir.Input, (2 + metadata.valid) * metadata.size**2),
        "Output": (nir.Output, metadata.bits),
    }
    for end, (kind, told) in ends.items():
        shapes = [next(iter(node.output_type.values())) for node in graph.nodes.values() if isinstance(node, kind)]
        sizes = [math.prod(map(int, shape)) for shape in shapes]
        if sizes != [told]:
            raise GraphError(f"{source}: metadata tell of an {end} of {told} neurons, the graph has {sizes}: {_AGAIN}")
    missing = [node for layer in metadata.populations for node in layer.nodes if node not in graph.nodes]
    if missing:
        raise GraphError(f"{source}: metadata name the node {missing[0]}, which the graph has not: {_AGAIN}")
