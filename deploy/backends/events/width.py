"""The narrowest whole numbers that hold all currents and potentials of a network."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from export.encoder.integer import IntegerNetwork, Neurons, Whole
from spikinghash.errors import GraphError

CHUNK = 8
"""Words that are summed at once."""


@dataclass(frozen=True)
class Width:
    """How many bits a current has: lanes of ``dtype`` in words of 64 bits, which hold no negative number.

    A population's currents are held ``offset`` higher, for no current is less than ``-offset``, and its potentials
    twice that: they begin at 0, and a step takes u to ceil(u/2) + a, never below twice the least a. Half of the one
    offset is the other: ``(u + 2 offset + 1) >> 1`` is ``ceil(u/2) + offset``.
    """

    dtype: type[np.unsignedinteger[Any]]

    @property
    def bits(self) -> int:
        """Of a lane."""
        return np.dtype(self.dtype).itemsize * 8

    @property
    def per_word(self) -> int:
        """Lanes of a word."""
        return 64 // self.bits

    def everywhere(self, number: int) -> int:
        """A word with ``number`` in every lane."""
        return number * sum(1 << self.bits * lane for lane in range(self.per_word))

    def lanes(self, channels: int) -> int:
        """Lanes that are kept for so many channels: whole chunks of words."""
        chunk = CHUNK * self.per_word
        return -(-channels // chunk) * chunk

    def pack(self, rows: Whole) -> Whole:
        """Lanes (..., n) to words (..., n / per_word), each the sum of its lanes, shifted; negative ones borrow."""
        split = rows.reshape(*rows.shape[:-1], -1, self.per_word)
        return (split << (self.bits * np.arange(self.per_word))).sum(axis=-1)

    def holds(self, threshold: int, highest: int, offset: int) -> bool:
        """Whether every current and potential of neurons fits a lane; after a step these are at most the threshold."""
        largest, most = min(2**self.bits, 2**63) - 1, max(threshold, 0) + 1
        return 2 * offset + max(most, most // 2 + highest) <= largest


def offset_of(neurons: Neurons) -> int:
    """The least offset with which neither a current, nor a potential, nor the threshold of ``neurons`` is negative."""
    return max(0, -neurons.lowest, -(neurons.threshold // 2))


def offsets_of(network: IntegerNetwork) -> dict[str, int]:
    """The offset of each stream, by the map that begins it: one for all populations that read it."""
    offsets: dict[str, int] = {}
    for each in (layer for layer in network.layers if isinstance(layer, Neurons)):
        offsets[each.sources[0]] = max(offset_of(each), offsets.get(each.sources[0], 0))
    return offsets


def choose_width(network: IntegerNetwork) -> Width:
    """The narrowest arithmetic that holds every current and potential of ``network``.

    Raises:
        GraphError: 64 bits are too few for one.
    """
    widths, offsets = [Width(dtype) for dtype in (np.uint16, np.uint32, np.uint64)], offsets_of(network)
    for each in (layer for layer in network.layers if isinstance(layer, Neurons)):
        offset = offsets[each.sources[0]]
        widths = [width for width in widths if width.holds(each.threshold, each.highest, offset)]
        if not widths:
            raise GraphError(
                f"node {each.name}: currents {each.lowest} to {each.highest} and threshold {each.threshold} need more "
                "than 64 bits: quantise anew"
            )
    return widths[0]
