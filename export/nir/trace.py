"""From the spikes of a written graph's nodes back to the layers of the encoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.encoder.layout import from_polyphase, polyphase_shape
from export.nir.metadata import EncoderLayer, Metadata

Spikes = NDArray[Any]


def input_spikes(frames: NDArray[np.uint8], metadata: Metadata) -> NDArray[np.float32]:
    """Frames (B, T, 2, H, W) as input of the graph: (B, T + latency, 3, H, W) with the valid channel, if it has one."""
    samples, steps, channels, height, width = frames.shape
    spikes = np.zeros((samples, metadata.steps, channels + metadata.valid, height, width), np.float32)
    spikes[:, :steps, :channels] = frames
    spikes[:, :steps, channels:] = 1.0
    return spikes


def output_codes(outputs: Spikes) -> NDArray[np.uint8]:
    """Output spikes (B, steps, K, ...) as packed codes (B, K/8): bit k is 1 iff output k spiked at any step."""
    return np.packbits(outputs.reshape(*outputs.shape[:2], -1).any(axis=1), axis=1)


def output_answers(outputs: Spikes, metadata: Metadata) -> NDArray[Any]:
    """Packed codes of output spikes (B, steps, K, ...); with a classification head, spikes per class, (B, K)."""
    if not metadata.classes:
        return output_codes(outputs)
    return outputs.reshape(*outputs.shape[:2], -1).sum(axis=1, dtype=np.int32)


def recorded_nodes(metadata: Metadata) -> list[str]:
    """Nodes whose spikes ``layer_spikes`` needs."""
    return [node for population in metadata.populations for node in population.nodes]


def layer_spikes(recorded: Mapping[str, Spikes], metadata: Metadata) -> dict[str, Spikes]:
    """Spikes of each layer, (B, T, C, H, W), aligned to the window; coincidence counts for an attention."""
    return {
        population.name: _layer(population, [recorded[node] for node in population.nodes], metadata.time_steps)
        for population in metadata.populations
    }


def neuron_spikes(emitted: Mapping[str, NDArray[np.float64]], metadata: Metadata) -> dict[str, NDArray[np.float64]]:
    """Spikes of each neuron over all steps, (B, neurons) in the encoder's order, by layer; an attention emits none.

    Args:
        emitted: the same of each node, (neurons, B).
    """
    layers = [layer.model_copy(update={"latency": 0}) for layer in metadata.populations if layer.kind != "gates"]
    nodes = {layer.name: [emitted[node].T[:, None] for node in layer.nodes] for layer in layers}
    return {layer.name: _layer(layer, nodes[layer.name], 1).reshape(len(nodes[layer.name][0]), -1) for layer in layers}


def _layer(population: EncoderLayer, nodes: list[Spikes], time_steps: int) -> Spikes:
    window = slice(population.latency, population.latency + time_steps)
    parts = [node[:, window] for node in nodes]
    if population.kind == "map":
        channels, height, width = polyphase_shape(population.shape, population.polyphase)
        return from_polyphase(parts[0].reshape(*parts[0].shape[:2], channels, height, width), population.polyphase)
    heads = np.stack([part.reshape(*part.shape[:2], -1) for part in parts], axis=2)
    channels, height, width = population.shape
    tokens = height * width
    if population.kind == "qkv":
        split = heads.reshape(*heads.shape[:3], 3, -1, tokens)
        heads = np.moveaxis(split, 3, 2)
    elif population.kind == "gates":
        per_head = channels // len(nodes)
        # Gates are ordered (a, b, i, j): the count of (b, i) sums over a and j.
        heads = heads.reshape(*heads.shape[:3], per_head, per_head, tokens, tokens).sum(axis=(3, 6), dtype=np.int64)
    return heads.reshape(*heads.shape[:2], channels, height, width)


@dataclass(frozen=True)
class Difference:
    """The first place at which two traces part."""

    layer: str
    sample: int
    step: int
    neuron: tuple[int, ...]
    expected: float
    actual: float

    def __str__(self) -> str:
        return (
            f"layer {self.layer}, recording {self.sample}, time step {self.step}, neuron {self.neuron}: "
            f"{self.actual:g} instead of {self.expected:g}"
        )


def first_difference(expected: Mapping[str, Spikes], actual: Mapping[str, Spikes]) -> Difference | None:
    """The first layer (in the order of ``expected``) that differs, its first differing step and neuron; or ``None``."""
    for layer, wanted in expected.items():
        if layer not in actual or np.array_equal(wanted, actual[layer]):
            continue
        places = np.argwhere(wanted != actual[layer])
        sample, step, *neuron = (int(index) for index in places[np.lexsort((places[:, 0], places[:, 1]))[0]])
        place = (sample, step, *neuron)
        return Difference(layer, sample, step, tuple(neuron), float(wanted[place]), float(actual[layer][place]))
    return None
