"""Whether the layers of an integer network fit each other: compiled code checks no index."""

import math

from export.encoder.integer import Blocks, Coincidences, Convolution, IntegerNetwork, Layer, Neurons, Shape, Tally, Vote
from spikinghash.errors import GraphError
from training.config import LARGEST_ACTIVITY, LARGEST_SIZE, LARGEST_STEPS, LARGEST_WIDTH

FRAME_CHANNELS = 2
"""ON and OFF."""


def check_network(network: IntegerNetwork) -> None:
    """Raise a GraphError that names the first layer that does not fit what it reads."""
    _check_sizes(network)
    shapes: dict[str, Shape] = {"input": (FRAME_CHANNELS, network.size, network.size)}
    spiking = {"input"}
    for layer in (*network.layers, network.vote):
        unknown = [name for name in layer.sources if name not in shapes]
        if unknown or not layer.sources or min(layer.shape) < 1 or layer.name in shapes:
            raise GraphError(
                f"node {layer.name}: sources {layer.sources}, shape {layer.shape}: it is damaged: export anew"
            )
        drives = isinstance(layer, Neurons)
        fits = all((name in spiking) != drives for name in layer.sources) and (drives or len(layer.sources) == 1)
        if not fits or not _fits(layer, shapes[layer.sources[0]], network.time_steps):
            raise GraphError(
                f"node {layer.name}: a {layer.kind} of shape {layer.shape} does not fit {', '.join(layer.sources)}, "
                f"which sends {shapes[layer.sources[0]]}: export anew"
            )
        if drives and any(shapes[name] != layer.shape for name in layer.sources):
            raise GraphError(f"node {layer.name}: its currents have different shapes: export anew")
        shapes[layer.name] = layer.shape
        spiking |= {layer.name} if drives else set()
    named = {layer.name for layer in network.layers if isinstance(layer, Neurons | Coincidences)}
    if unknown := [name for name in network.populations if name not in named]:
        raise GraphError(f"population {unknown[0]}: it is none of the network's: export anew")
    if network.vote.sources[0] == "input" or (isinstance(network.vote, Vote) and network.vote.shape[0] % 8):
        raise GraphError(f"node {network.vote.name}: {network.vote.shape[0]} bits are no whole bytes: export anew")
    if len(network.classes) != (network.bits if isinstance(network.vote, Tally) else 0):
        raise GraphError(
            f"node {network.vote.name}: {len(network.classes)} names of classes for a {network.vote.kind} of "
            f"{network.bits}: export anew"
        )


def _check_sizes(network: IntegerNetwork) -> None:
    sizes = {"time_steps": (network.time_steps, LARGEST_STEPS), "size": (network.size, LARGEST_SIZE)}
    if isinstance(network.vote, Vote):
        sizes["votes"] = network.vote.votes, network.time_steps
    for key, (value, limit) in sizes.items():
        if not 1 <= value <= limit:
            raise GraphError(f"integer network: {key} is {value}, at most {limit}: it is damaged: export anew")
    for layer in network.layers:
        if not 0 < network.time_steps * math.prod(layer.shape) <= LARGEST_ACTIVITY:
            raise GraphError(f"node {layer.name}: its shape is {layer.shape}: it is damaged: export anew")


def _fits(layer: Layer, source: Shape, steps: int) -> bool:
    if isinstance(layer, Convolution):
        return _convolution_fits(layer, source, steps)
    if isinstance(layer, Blocks):
        return _blocks_fit(layer, source, steps)
    if isinstance(layer, Coincidences):
        channels, *pixels = layer.shape
        heads = layer.heads > 0 and channels % layer.heads == 0
        return heads and layer.weight > 0 and source == (3 * channels, *pixels)
    return source == layer.shape


def _convolution_fits(layer: Convolution, source: Shape, steps: int) -> bool:
    numbers = (layer.stride, layer.groups, layer.padding + 1)
    if layer.weight.ndim != 4 or not 1 <= min(numbers) <= max(numbers) <= LARGEST_WIDTH:
        return False
    out, inner, *kernel = layer.weight.shape
    padded = [size + 2 * layer.padding for size in source[1:]]
    if min(kernel) < 1 or steps * math.prod(padded) > LARGEST_ACTIVITY:
        return False
    sizes = [(size - taps) // layer.stride + 1 for size, taps in zip(padded, kernel, strict=True)]
    channels = inner * layer.groups == source[0] and out % layer.groups == 0
    return channels and (out, *sizes) == layer.shape and layer.bias.shape == (out,)


def _blocks_fit(layer: Blocks, source: Shape, steps: int) -> bool:
    if source != layer.shape or layer.kernels.ndim != 6 or layer.members.ndim != 2 or min(layer.sides) < 1:
        return False
    levels, groups, children, out, _, inp = layer.kernels.shape
    whole = (steps, *source[1:])
    return (
        layer.kernels.shape == (levels, groups, children, out, children, out)
        and groups * inp == source[0]
        and layer.bias.shape == (source[0],)
        and len(layer.members) == children**levels == layer.sides[0] * layer.sides[1] * layer.sides[2]
        and layer.members.shape[1] == 3
        and bool((layer.members >= 0).all() and (layer.members < layer.sides).all())
        and all(size % side == 0 for size, side in zip(whole, layer.sides, strict=True))
    )
