"""The constructs of portable encoder files: for each, a graph on a given builder, and spikes that exercise it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from portable_graphs import LEAKY, OFF_LATTICE, TIME_STEP, Builder, shift_register

Spikes = NDArray[np.float32]
THRESHOLD = 40 + OFF_LATTICE


def weights(seed: int, *shape: int) -> NDArray[np.int64]:
    """Even integers between -120 and 120."""
    return 2 * np.random.default_rng(seed).integers(-60, 61, shape)


def random_spikes(seed: int, *shape: int, rate: float = 0.3) -> Spikes:
    return (np.random.default_rng(seed).random(shape) < rate).astype(np.float32)


def chain(builder: Builder) -> Spikes:
    """Strided 3x3, 1x1, and a Flatten whose axes count from the back."""
    _chain(builder, start=-3)
    return random_spikes(0, 3, 8, 3, 12, 12)


def chain_flattened_from_front(builder: Builder) -> Spikes:
    """The same with a Flatten of axes 0 to -1, which leaves no room for a sample axis in torch."""
    _chain(builder, start=0)
    return random_spikes(0, 3, 8, 3, 12, 12)


def _chain(builder: Builder, start: int) -> None:
    source = builder.input(3, 12, 12)
    strided = builder.conv("conv_1", source, weights(1, 5, 3, 3, 3), stride=2, padding=1)
    hidden = builder.neurons("lif_1", [strided], THRESHOLD)
    pointwise = builder.conv("conv_2", hidden, weights(2, 4, 5, 1, 1))
    builder.output(builder.flatten("flat", builder.neurons("lif_2", [pointwise], THRESHOLD), start))


def residual(builder: Builder) -> Spikes:
    """Every branch reads the sum of all earlier ones: fan-out from each convolution, up to four edges into a LIF."""
    stream = [builder.conv("stem", builder.input(3, 8, 8), weights(1, 4, 3, 3, 3), padding=1)]
    for block in range(3):
        spikes = builder.neurons(f"lif_{block}", stream, THRESHOLD * (block + 1))
        stream.append(builder.conv(f"branch_{block}", spikes, weights(block + 2, 4, 4, 3, 3), padding=1))
    builder.output(builder.neurons("out", stream, THRESHOLD))
    return random_spikes(0, 3, 8, 3, 8, 8)


def coincidence(builder: Builder) -> Spikes:
    """AND of three channels."""
    source = builder.input(6, 4, 4)
    operands = [builder.conv(f"operand_{k}", source, _pick(2, 6, first=2 * k)) for k in range(3)]
    builder.output(builder.gate("all_three", operands, 3))
    return random_spikes(0, 4, 12, 6, 4, 4, rate=0.7)


def flatten_and_back(builder: Builder) -> Spikes:
    """A kernel as large as the map gives a vector; the same kernel with full padding gives a map again."""
    whole = builder.conv("whole", builder.input(5, 4, 4), weights(1, 7, 5, 4, 4))
    vector = builder.neurons("vector", [whole], THRESHOLD)
    spread = builder.conv("spread", vector, weights(2, 6, 7, 4, 4), padding=3)
    builder.output(builder.neurons("map", [spread], THRESHOLD))
    return random_spikes(0, 3, 8, 5, 4, 4)


def large_strides(builder: Builder) -> Spikes:
    """Single pixels by a 1x1 kernel of stride 32, and a 10x10 kernel of stride 8."""
    source = builder.input(1, 40, 40)
    pixels = builder.neurons(
        "pixels", [builder.conv("pick", source, weights(1, 4, 1, 1, 1), stride=32)], 7 + OFF_LATTICE
    )
    wide = builder.conv("wide", source, weights(2, 3, 1, 10, 10), stride=8, padding=1)
    coarse = builder.neurons("coarse", [wide], THRESHOLD)
    joined = builder.conv("join", coarse, weights(3, 4, 3, 3, 3), stride=3, padding=1)
    builder.output(builder.neurons("out", [pixels, joined], THRESHOLD))
    return random_spikes(0, 3, 8, 1, 40, 40)


def shift_registers(builder: Builder) -> Spikes:
    """Delays of 1 to 7 steps, tapped side by side into channels 3n to 3n + 2 of the output."""
    source = builder.input(3, 2, 2)
    taps = []
    for delay in range(1, 8):
        register = shift_register(builder, f"delay_{delay}", source, delay)
        last = _pick(3, 3 * (delay + 1), first=3 * delay)
        taps.append(builder.conv(f"tap_{delay}", register, np.pad(last, _rows(3 * (delay - 1), 21 - 3 * delay))))
    builder.output(builder.gate("taps", taps, 1))
    return random_spikes(0, 3, 20, 3, 2, 2, rate=0.5)


def block_clocks(builder: Builder) -> Spikes:
    """Neurons that spike once per 2, 4 and 8 steps of constant input, one per output channel."""
    source = builder.input(1, 1, 1)
    lines = []
    for channel, period in enumerate((2, 4, 8)):
        drive = builder.conv(f"drive_{period}", source, [[[[2.0 ** (period + 1)]]]])
        clock = builder.neurons(f"clock_{period}", [drive], 2.0 ** (period + 1) - 3, LEAKY)
        lines.append(builder.conv(f"line_{period}", clock, np.pad([[[[1]]]], _rows(channel, 2 - channel))))
    builder.output(builder.gate("clocks", lines, 1))
    spikes = np.ones((2, 40, 1, 1, 1), dtype=np.float32)
    spikes[1, 33:] = 0
    return spikes


def vote_counter(builder: Builder) -> Spikes:
    """A LIF with a time constant of 1024 steps spikes at the fifth input spike."""
    drive = builder.conv("drive", builder.input(4, 1, 1), 1024 * _pick(4, 4, first=0))
    builder.output(builder.neurons("votes", [drive], 4.5, 1024 * TIME_STEP))
    return random_spikes(0, 6, 8, 4, 1, 1, rate=0.6)


def network(builder: Builder) -> Spikes:
    """Eight residual blocks of a delayed branch, an undelayed one and their coincidence: 116 nodes."""
    stream = [builder.conv("stem", builder.input(3, 2, 2), weights(1, 4, 3, 3, 3), padding=1)]
    for block in range(8):
        name = f"unit{block:02}"
        spikes = builder.neurons(f"{name}_a", [stream[0], *stream[1:][-3:]], 30 + OFF_LATTICE)
        lanes = 1 + block % 3
        register = shift_register(builder, f"{name}_b", spikes, lanes)
        late = builder.conv(f"{name}_c", register, weights(block, 4, 4 * (lanes + 1), 1, 1))
        early = builder.conv(f"{name}_d", spikes, weights(block + 50, 4, 4, 1, 1))
        late, early = (builder.neurons(f"{node}_lif", [node], 20 + OFF_LATTICE) for node in (late, early))
        operands = [builder.conv(f"{node}_operand", node, _pick(4, 4, first=0)) for node in (late, early)]
        both = builder.gate(f"{name}_e", operands, 2)
        stream.append(builder.conv(f"{name}_f", both, weights(block + 90, 4, 4, 1, 1)))
    builder.output(builder.neurons("last", [stream[0], *stream[-3:]], 30 + OFF_LATTICE))
    return random_spikes(0, 3, 8, 3, 2, 2, rate=0.5)


CASES: dict[str, Callable[[Builder], Spikes]] = {
    case.__name__: case
    for case in (
        chain,
        chain_flattened_from_front,
        residual,
        coincidence,
        flatten_and_back,
        large_strides,
        shift_registers,
        block_clocks,
        vote_counter,
        network,
    )
}


def _pick(out: int, channels: int, first: int) -> NDArray[np.float64]:
    """A 1x1 kernel that copies channels ``first`` to ``first + out - 1``."""
    return np.eye(out, channels, k=first)[:, :, None, None]


def _rows(before: int, after: int) -> tuple[tuple[int, int], ...]:
    """Padding of a kernel's output channels."""
    return ((before, after), (0, 0), (0, 0), (0, 0))
