"""The encoder's graph in torch: what the torch backend runs, and what written files are compared with."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.encoder.graph import Graph
from export.encoder.node import Map, Node
from export.encoder.operations import Output


class GraphExecutor:
    """Runs a graph, batch normalisation folded, before anything is lowered.

    All steps of the window pass through a node before the next node is entered. Tensors inside have shape
    (T, B, C, H, W).

    Args:
        graph: the encoder.
        dtype: arithmetic; float32 is exact where the certificate says so.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype = torch.float64) -> None:
        self.graph, self.dtype = graph, dtype
        self.populations = population_names(graph)
        self._weights = {name: self._constant(node.weight) for name, node in graph.find(Map)}
        self._biases = {
            name: self._constant(node.bias.reshape(-1, 1, 1)) for name, node in graph.find(Map) if node.bias is not None
        }

    def _constant(self, value: Any) -> Tensor:
        return torch.from_numpy(np.array(value)).to(self.dtype)

    def encode(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Packed codes (B, K/8), bit 0 the most significant of the first byte, of binary frames (B, T, 2, H, W)."""
        return self.layers(frames)[0]

    def layers(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
        """``encode``, and the spikes of each population, (B, T, C, H, W)."""
        values = self.trace(torch.from_numpy(frames))
        spikes = {name: np.moveaxis(values[name].numpy(), 0, 1) for name in self.populations}
        return np.packbits(values["output"].numpy(), axis=1), spikes

    @torch.no_grad()
    def trace(self, frames: Tensor) -> dict[str, Tensor]:
        """Spikes of every population, (T, B, C, H, W), by name; ``output`` holds the bits, (B, K).

        A map among them, as an ``Attention``, appears with its sums without their weight: that is what its gates emit.
        """
        values: dict[str, Tensor] = {}
        for name, node in self.graph.nodes.items():
            sources = [values[source] for source in self.graph.sources(name)]
            values[name] = self._evaluate(name, node, sources or [frames.transpose(0, 1).to(self.dtype)])
        traced = {name: values[name] for name in (*self.populations, self.graph.only(Output)[0])}
        for name in self.populations:
            if name in self._weights:
                traced[name] = traced[name] / self._weights[name]
        return traced

    def _evaluate(self, name: str, node: Node, sources: list[Tensor]) -> Tensor:
        total = sources[0]
        for source in sources[1:]:
            total = total + source
        if not isinstance(node, Map):
            return self.emitted(name, node, total)
        current = node.currents(total, self._weights[name])
        return current + self._biases[name] if name in self._biases else current

    def emitted(self, name: str, node: Node, total: Tensor) -> Tensor:
        """What a node that is no map emits when ``total`` arrives; other arithmetic may take its place."""
        return node.evaluate(name, total)


def population_names(graph: Graph) -> list[str]:
    """Nodes whose spikes are counted: neurons, and the coincidence gates of each attention."""
    return [name for name, node in graph.nodes.items() if node.counted]
