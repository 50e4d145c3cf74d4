"""Weights and currents in words of 32 bits.

Weights are held negated, since the currents are, and raised by half their range, since bytes that are never negative
need no sign extension: what the raising adds is known from the number of spikes, and taken off beforehand.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.encoder.integer import Whole
from spikinghash.errors import GraphError

Words = NDArray[np.uint32]

BLOCK = 16
"""Channels whose sums are kept in registers at once."""
WORD = 32
"""Channels whose spikes share a word."""
RAISED = 2**15
"""By which each of two lanes of a word is raised."""


@dataclass(frozen=True)
class Mantissas:
    """Weights as ``values * 2^shift``."""

    values: Whole
    shift: int

    @property
    def bits(self) -> int:
        """4 where half a byte holds every negated value, else 8."""
        return 4 if self.values.size == 0 or (self.values.min() >= -7 and self.values.max() <= 8) else 8


def common_power(values: Whole) -> int:
    """The largest power of two that divides all of ``values``; 1 where they are all zero."""
    common = int(np.gcd.reduce(values.ravel(), initial=0))
    return common & -common or 1


def mantissas(name: str, weight: Whole) -> Mantissas:
    """The common power of two taken out.

    Raises:
        GraphError: eight bits do not hold what is left.
    """
    shift = common_power(weight).bit_length() - 1
    values = weight >> shift
    if values.size and (values.min() < -127 or values.max() > 128):
        raise GraphError(
            f"node {name}: weights {values.min()} to {values.max()} times 2^{shift}: C is written for 8 bits: "
            "quantise anew"
        )
    return Mantissas(values, shift)


def paired(channels: int) -> NDArray[np.int64]:
    """Channels of each word of two lanes, (words, 2); -1 where a lane is idle.

    Of 32 channels, whose spikes share a word, lane 0 holds the first half, lane 1 the second: so the spikes come out in
    order.
    """
    words = []
    for first in range(0, channels, WORD):
        count = min(WORD, channels - first)
        half = -(-count // 2)
        low = first + np.arange(half)
        words.append(np.stack([low, np.where(low + half < first + count, low + half, -1)], axis=1))
    return np.concatenate(words)


def neighbours(channels: int) -> NDArray[np.int64]:
    """As ``paired``, with channels 2n and 2n + 1 in a word."""
    even = np.arange(0, channels, 2)
    return np.stack([even, np.where(even + 1 < channels, even + 1, -1)], axis=1)


def places(lanes: NDArray[np.int64], channels: int, steps: int) -> Words:
    """Where each channel stands among ``lanes`` (words, lanes), ``steps`` apart: 32 times its word, and its bit."""
    word, lane = np.nonzero(lanes >= 0)
    result = np.zeros(channels, np.uint32)
    result[lanes[word, lane]] = 32 * steps * word + 16 * lane
    return result


def in_lanes(values: Whole, lanes: NDArray[np.int64], idle: int = 0) -> Words:
    """Values (channels,) as words whose lanes are added, (words,); an idle lane gets ``idle``."""
    lane = np.append(values, idle)[lanes]
    return (lane << (16 * np.arange(lanes.shape[1]))).sum(axis=1).astype(np.uint32)


def weight_words(rows: Whole, lanes: NDArray[np.int64], bits: int) -> Words:
    """A table of negated mantissas: (blocks of channels, rows, words of a row).

    Args:
        rows: (rows, channels).
        lanes: channels of each word of currents, (words, lanes).
        bits: of a weight, 8 or 4.
    """
    order = lanes.ravel()
    order = np.append(order, np.full(-len(order) % BLOCK, -1))
    raised = np.append(-rows, np.zeros((len(rows), 1), np.int64), axis=1)[:, order] + 2 ** (bits - 1)
    blocks = raised.reshape(len(rows), -1, BLOCK).swapaxes(0, 1)
    shifts = np.array([0, 16, 4, 20, 8, 24, 12, 28]) if bits == 4 else np.array([0, 16, 8, 24])
    words = blocks.reshape(*blocks.shape[:2], -1, len(shifts))  # lanes of sum 0, then of sum 1, ...
    return (words << shifts).sum(axis=3).astype(np.uint32)


def byte_words(values: Whole) -> NDArray[np.int8]:
    """Negated mantissas as signed bytes, as they are stored for maps in groups."""
    return (-values).astype(np.int8)
