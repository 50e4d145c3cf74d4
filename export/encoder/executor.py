"""The encoder's graph as a torch module: what the torch backend runs and what becomes ONNX."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from export.encoder.graph import Graph
from export.encoder.node import Array, Node
from export.encoder.operations import Attention, Conv, Counter, Dense, Input, Lif, Output, WaveMixer
from spikinghash.errors import GraphError
from training.model.attention import coincidence_counts
from training.model.wave_mixer import from_blocks, to_blocks


class Encoding(NamedTuple):
    """Result of ``GraphExecutor``: B samples, K bits, P populations."""

    codes: Tensor
    """Packed, uint8 (B, K/8), bit 0 the most significant bit of the first byte (numpy.packbits)."""
    spike_counts: Tensor
    """Spikes of each population in the window, int32 (B, P), in the order of ``GraphExecutor.populations``."""


@torch.library.custom_op("spikinghash::lif", mutates_args=())
def lif_steps(current: Tensor, threshold: float) -> Tensor:
    """Spikes of ``v <- v/2 + a; s = [v > threshold]; v <- (1 - s) v`` for currents of shape (T, ...).

    One operator, so that torch.export meets one node per population instead of four per step.
    """
    v = torch.zeros_like(current[0])
    spikes = torch.empty_like(current)
    for step, spike in zip(current.unbind(0), spikes.unbind(0), strict=True):
        v = v.mul_(0.5).add_(step)
        torch.gt(v, threshold, out=spike)
        v.masked_fill_(spike.bool(), 0.0)
    return spikes


@lif_steps.register_fake
def _(current: Tensor, threshold: float) -> Tensor:
    return torch.empty_like(current)


class GraphExecutor(nn.Module):
    """Runs a graph of ``Input``, ``Lif``, ``Conv``, ``Dense``, ``WaveMixer``, ``Attention``, ``Counter``, ``Output``.

    All steps of the window pass through a node before the next node is entered. Tensors inside have shape
    (T, B, C, H, W).

    Args:
        graph: the encoder, batch normalisation folded, before anything is lowered.
        dtype: arithmetic; float32 is exact where the certificate says so.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.graph = graph
        self.dtype = dtype
        self.populations = population_names(graph)
        for name, node in graph.nodes.items():
            self._register(name, node)

    def _register(self, name: str, node: Node) -> None:
        if isinstance(node, Conv | Dense | WaveMixer):
            self._constant(f"{name}_weight", node.weight)
        elif not isinstance(node, Input | Lif | Attention | Counter | Output):
            raise GraphError(f"node {name}: a {type(node).__name__} has no place in an encoder: fold and lower first")
        if isinstance(node, Conv | Dense | WaveMixer) and node.bias is not None:
            self._constant(f"{name}_bias", node.bias.reshape(-1, 1, 1))

    def _constant(self, name: str, value: Array) -> None:
        self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(value)).to(self.dtype))

    def forward(self, frames: Tensor) -> Encoding:
        """Encode frames (B, T, 2, H, W) of zeros and ones, any dtype."""
        spikes = self.trace(frames)
        counts = torch.stack([_spike_count(spikes[name]) for name in self.populations], dim=1)
        return Encoding(pack_bits(spikes["output"]), counts.to(torch.int32))

    @torch.no_grad()
    def layers(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
        """Packed codes (B, K/8) and the spikes of each population, (B, T, C, H, W), of frames (B, T, 2, H, W)."""
        values = self.trace(torch.from_numpy(frames))
        spikes = {name: np.moveaxis(values[name].numpy(), 0, 1) for name in self.populations}
        return np.packbits(values["output"].numpy(), axis=1), spikes

    def trace(self, frames: Tensor) -> dict[str, Tensor]:
        """Spikes of every population, (T, B, C, H, W), by name; ``output`` holds the bits, (B, K).

        An ``Attention`` appears with its whole-numbered coincidence counts, since that is what its gates emit.
        """
        values: dict[str, Tensor] = {}
        for name, node in self.graph.nodes.items():
            sources = [values[source] for source in self.graph.sources(name)]
            values[name] = self._evaluate(name, node, sources, frames)
        wanted = [*self.populations, self.graph.only(Output)[0]]
        traced = {name: values[name] for name in wanted}
        for name, node in self.graph.find(Attention):
            traced[name] = traced[name] / node.weight
        return traced

    def _evaluate(self, name: str, node: Node, sources: list[Tensor], frames: Tensor) -> Tensor:
        if isinstance(node, Input):
            return frames.transpose(0, 1).to(self.dtype)
        total = sources[0]
        for source in sources[1:]:
            total = total + source
        if isinstance(node, Lif):
            return lif_steps(total, node.threshold)
        if isinstance(node, Attention):
            return self._attend(node, total)
        if isinstance(node, Counter):
            return (total.sum(0) >= node.votes).flatten(1)
        if isinstance(node, Output):
            return total
        return self._map(name, node, total)

    def _map(self, name: str, node: Node, spikes: Tensor) -> Tensor:
        weight = getattr(self, f"{name}_weight")
        if isinstance(node, WaveMixer):
            blocks = to_blocks(spikes, node.levels, weight.shape[0])
            current = from_blocks(blocks @ weight.transpose(1, 2), spikes.shape, node.levels)
        elif isinstance(node, Dense):
            product = spikes.flatten(2) @ weight.flatten(3).flatten(0, 2).T
            current = product.unflatten(2, node.shape)
        else:
            assert isinstance(node, Conv)
            steps = functional.conv2d(spikes.flatten(0, 1), weight, None, node.stride, node.padding)
            current = steps.unflatten(0, (spikes.shape[0], -1))
        bias = getattr(self, f"{name}_bias", None)
        return current if bias is None else current + bias

    @staticmethod
    def _attend(node: Attention, qkv: Tensor) -> Tensor:
        steps, _, _, height, width = qkv.shape
        heads = qkv.reshape(steps, -1, 3, node.heads, node.shape[0] // node.heads, height * width)
        counts = coincidence_counts(*heads.unbind(2))
        return counts.reshape(steps, -1, *node.shape) * node.weight


def population_names(graph: Graph) -> list[str]:
    """Nodes whose spikes are counted: neurons, and the coincidence gates of each attention."""
    return [name for name, node in graph.nodes.items() if isinstance(node, Lif | Attention)]


def pack_bits(bits: Tensor) -> Tensor:
    """Pack bits (B, K) into bytes (B, K/8), first bit most significant."""
    place_values = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.int32, device=bits.device)
    return (bits.to(torch.int32).unflatten(1, (-1, 8)) * place_values).sum(-1, dtype=torch.int32).to(torch.uint8)


def _spike_count(spikes: Tensor) -> Tensor:
    return spikes.sum(dim=(0, 2, 3, 4))
