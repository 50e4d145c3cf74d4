"""From a checkpoint to the encoder's graph, float or integer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.encoder.certificate import Certificate
from export.encoder.certify import certify
from export.encoder.executor import GraphExecutor, population_names
from export.encoder.forms import Numbers
from export.encoder.frontend import build_graph
from export.encoder.graph import Graph
from export.encoder.integer import IntegerNetwork, Layer, Neurons, Tally, Vote
from export.encoder.operations import Counter, Input, Lif, Output
from export.encoder.passes.fold_batch_norm import fold_batch_norm
from export.encoder.passes.fuse_linear import fuse_linear
from export.encoder.passes.quantise import quantise
from spikinghash.errors import GraphError
from spikinghash.files import file_sha256
from training.checkpoint import load_checkpoint
from training.config import EncoderConfig
from training.data.facts import DataFacts
from training.model.encoder import Spikinghash


@dataclass(frozen=True)
class Network:
    """An encoder's graph, batch normalisation folded, and its numbers."""

    graph: Graph
    numbers: Numbers
    config: EncoderConfig
    checkpoint_sha256: str
    grid_steps: dict[str, float]
    certificate: Certificate | None
    dataset: str = ""
    """On which it was trained, as in its config; empty where that is not known."""
    classes: tuple[str, ...] = ()
    """Names, of a classification head."""
    data: DataFacts | None = None
    """What its recordings were; ``None`` where that is not known."""

    @property
    def exact_in_float32(self) -> bool:
        """Whether the certificate says so; float numbers have none."""
        return self.certificate is not None and self.certificate.exact_in == "float32"

    def executor(self) -> GraphExecutor:
        """The network as a torch module, in the narrowest arithmetic that is exact."""
        return GraphExecutor(self.graph, torch.float32 if self.exact_in_float32 else torch.float64).eval()

    def integer(self) -> IntegerNetwork:
        """The network as records.

        Raises:
            GraphError: it is no integer network, or certified for no arithmetic.
        """
        if self.certificate is None:
            raise GraphError("the network has float numbers: only an integer network can be written as records")
        graph, ballot = self.graph, self._ballot()
        layers = tuple(self._record(name, tuple(graph.sources(name))) for name in recorded_nodes(graph))
        populations = tuple(population_names(graph))
        return IntegerNetwork(graph.time_steps, self.config.size, ballot, layers, populations, self.classes)

    def _ballot(self) -> Vote | Tally:
        name, output = self.graph.only(Output)
        if output.classes:
            return output.record(name, tuple(self.graph.sources(name)))
        counter, vote = self.graph.only(Counter)
        (count,) = self.graph.sources(counter)  # an identity: what it reads votes itself
        return vote.record(counter, tuple(self.graph.sources(count)))

    def _record(self, name: str, sources: tuple[str, ...]) -> Layer:
        node = self.graph.nodes[name]
        if not isinstance(node, Lif):
            return node.record(name, sources)
        assert self.certificate is not None
        (bound,) = (bound for bound in self.certificate.bounds if bound.population == name)
        return Neurons(name, sources, node.shape, math.floor(node.threshold), int(bound.lowest), int(bound.highest))


def recorded_nodes(graph: Graph) -> list[str]:
    """The nodes of a folded graph that are layers of its ``IntegerNetwork``."""
    left = {name for name, node in graph.nodes.items() if isinstance(node, Input | Counter | Output)}
    left |= {source for name, _ in graph.find(Counter) for source in graph.sources(name)}
    return [name for name in graph.nodes if name not in left]


def build_network(
    model: Spikinghash,
    numbers: Numbers = "integer",
    checkpoint_sha256: str = "",
    dataset: str = "",
    classes: Sequence[str] = (),
    data: DataFacts | None = None,
) -> Network:
    """The deployable network of a trained ``model``.

    Args:
        classes: names of the classes of its data set; outputs that have none are called by their number.
    """
    graph, steps = fuse_linear(fold_batch_norm(build_graph(model.eval()))), dict[str, float]()
    if numbers == "integer":
        graph, steps = quantise(graph, grids=model.grids)
    certificate = certify(graph) if numbers == "integer" else None
    outputs = range(model.config.bits if model.config.head == "classes" else 0)
    names = tuple(classes[output] if output < len(classes) else str(output) for output in outputs)
    return Network(graph, numbers, model.config, checkpoint_sha256, steps, certificate, dataset, names, data)


def load_network(path: Path, numbers: Numbers = "integer") -> Network:
    """``build_network`` of the checkpoint ``path``.

    Raises:
        CheckpointError: the file is missing, broken or of another version.
    """
    checkpoint = load_checkpoint(path)
    sha256 = file_sha256(Path(path))
    about = checkpoint.config.data.name, checkpoint.classes, checkpoint.data
    return build_network(checkpoint.model(), numbers, sha256, *about)


PROBES, LEAST_PROBES = 8, 2
"""Recordings of a self-check at most, and at least: a sparse one and a busy one."""
PROBED_PIXELS = 2 * 8 * 8 * 32**2
"""Of all frames of a self-check, about: twice those of 8 recordings in 8 steps of 32x32 pixels. A fault shows where a
neuron differs in a step, and of large frames fewer recordings have as many of both."""


def probes(config: EncoderConfig) -> int:
    """How many recordings a self-check takes: fewer of large frames."""
    return max(LEAST_PROBES, min(PROBES, PROBED_PIXELS // (config.time_steps * config.size**2)))


def probe_frames(config: EncoderConfig, samples: int | None = None, seed: int = 0) -> NDArray[np.uint8]:
    """Random binary frames for self-checks, from sparse to busy: (samples, T, 2, H, W); ``probes`` by default."""
    samples = probes(config) if samples is None else samples
    generator = np.random.default_rng(seed)
    density = np.geomspace(0.01, 0.3, samples).reshape(-1, 1, 1, 1, 1)
    shape = (samples, config.time_steps, 2, config.size, config.size)
    return (generator.random(shape) < density).astype(np.uint8)
