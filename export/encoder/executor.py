"""The encoder's graph as a torch module: what the torch backend runs, and what written files are compared with."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.encoder.graph import Graph
from export.encoder.node import Array, Map, Node
from export.encoder.operations import Lif, Output
from spikinghash.errors import ComparisonError


class Encoding(NamedTuple):
    """Result of ``GraphExecutor``: B samples, K bits, P populations."""

    codes: Tensor
    """Packed, uint8 (B, K/8), bit 0 the most significant bit of the first byte (numpy.packbits). Of a classification
    head: spikes of each class, int32 (B, K)."""
    spike_counts: Tensor
    """Spikes of each population in the window, int32 (B, P), in the order of ``GraphExecutor.populations``."""


class GraphExecutor(nn.Module):
    """Runs a graph, batch normalisation folded, before anything is lowered.

    All steps of the window pass through a node before the next node is entered. Tensors inside have shape
    (T, B, C, H, W).

    Args:
        graph: the encoder.
        dtype: arithmetic; float32 is exact where the certificate says so.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.graph = graph
        self.dtype = dtype
        self.populations = population_names(graph)
        self._classes = graph.only(Output)[1].classes
        for name, node in graph.find(Map):
            self._constant(f"{name}_weight", np.asarray(node.weight))
            if node.bias is not None:
                self._constant(f"{name}_bias", node.bias.reshape(-1, 1, 1))

    def _constant(self, name: str, value: Array) -> None:
        self.register_buffer(name, torch.from_numpy(np.array(value)).to(self.dtype))

    def forward(self, frames: Tensor) -> Encoding:
        """Encode frames (B, T, 2, H, W) of zeros and ones, any dtype."""
        counted, answers = [], frames
        for name, value in self._traced(frames):
            if name in self.populations:
                counted.append(_spike_count(value))
            else:
                answers = value
        counts = torch.stack(counted, dim=1)
        codes = answers.to(torch.int32) if self._classes else pack_bits(answers)
        return Encoding(codes, counts.to(torch.int32))

    def encode(self, frames: NDArray[np.uint8]) -> NDArray[Any]:
        """Packed codes (B, K/8), or spikes per class (B, K), of binary frames (B, T, 2, H, W)."""
        return self.layers(frames)[0]

    @torch.no_grad()
    def layers(self, frames: NDArray[np.uint8]) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """``encode``, and the spikes of each population, (B, T, C, H, W), of frames (B, T, 2, H, W)."""
        spikes: dict[str, NDArray[Any]] = {}
        for name, value in self._traced(torch.from_numpy(frames)):
            narrow = value.to(torch.uint8) if isinstance(self.graph.nodes[name], Lif) else value
            spikes[name] = np.moveaxis(narrow.numpy(), 0, 1)
        answers = np.moveaxis(spikes.pop(self.graph.only(Output)[0]), 1, 0)
        return answers.astype(np.int32) if self._classes else np.packbits(answers, axis=1), spikes

    def trace(self, frames: Tensor) -> dict[str, Tensor]:
        """Spikes of every population, (T, B, C, H, W), by name; ``output`` holds the bits or counts, (B, K).

        A map among them, as an ``Attention``, appears with its sums without their weight: that is what its gates emit.
        """
        return dict(self._traced(frames))

    def _traced(self, frames: Tensor) -> Iterator[tuple[str, Tensor]]:
        """What ``trace`` gives, one after the other; no value is held longer than a node needs it."""
        sources = {name: self.graph.sources(name) for name in self.graph.nodes}
        last_reader = {source: name for name, read in sources.items() for source in read}
        values: dict[str, Tensor] = {}
        for name, node in self.graph.nodes.items():
            read = [values[source] for source in sources[name]] or [frames.transpose(0, 1).to(self.dtype)]
            values[name] = self._evaluate(name, node, read)
            if name in self.populations:
                weight = self.get_buffer(f"{name}_weight") if isinstance(node, Map) else None
                yield name, values[name] if weight is None else values[name] / weight
            elif isinstance(node, Output):
                yield name, values[name]
            for source in set(sources[name]):
                if last_reader[source] == name:
                    del values[source]

    def _evaluate(self, name: str, node: Node, sources: list[Tensor]) -> Tensor:
        total = sources[0]
        for source in sources[1:]:
            total = total + source
        if not isinstance(node, Map):
            return self.emitted(name, node, total)
        current = node.currents(total, self.get_buffer(f"{name}_weight"))
        return current if node.bias is None else current + self.get_buffer(f"{name}_bias")

    def emitted(self, name: str, node: Node, total: Tensor) -> Tensor:
        """What a node that is no map emits when ``total`` arrives; other arithmetic may take its place."""
        return node.evaluate(name, total)


def population_names(graph: Graph) -> list[str]:
    """Nodes whose spikes are counted: neurons, and the coincidence gates of each attention."""
    return [name for name, node in graph.nodes.items() if node.counted]


def require_equal_counts(what: str, populations: Sequence[str], counts: NDArray[Any], wanted: NDArray[Any]) -> None:
    """Spikes of the populations, both (B, populations), as something that was written counts them and as it should.

    Raises:
        ComparisonError: they differ; with the first layer that does. ``what`` is in the message.
    """
    differing = np.argwhere(counts != wanted)
    if len(differing):
        sample, layer = differing[np.argmin(differing[:, 1])]
        raise ComparisonError(
            f"{what} parts from the network in layer {populations[layer]}, recording {sample}: "
            f"{counts[sample, layer]} spikes, not {int(wanted[sample, layer])}; nothing was written"
        )


def pack_bits(bits: Tensor) -> Tensor:
    """Pack bits (B, K) into bytes (B, K/8), first bit most significant."""
    place_values = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.int32, device=bits.device)
    return (bits.to(torch.int32).unflatten(1, (-1, 8)) * place_values).sum(-1, dtype=torch.int32).to(torch.uint8)


def _spike_count(spikes: Tensor) -> Tensor:
    return spikes.sum(dim=(0, 2, 3, 4))
