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
    """How many bits a current has: lanes of ``dtype`` in words of 64 bits."""

    dtype: type[np.signedinteger[Any]]

    @property
    def bits(self) -> int:
        """Of a lane."""
        return np.dtype(self.dtype).itemsize * 8

    @property
    def per_word(self) -> int:
        """Lanes of a word."""
        return 64 // self.bits

    @property
    def sign(self) -> int:
        """The highest bit of a lane, set while several share a word, so that none borrows from the next."""
        return 0 if self.per_word == 1 else 1 << (self.bits - 1)

    @property
    def signs(self) -> int:
        """``sign`` in every lane of a word, as the signed number that it is there."""
        word = sum(self.sign << (self.bits * lane) for lane in range(self.per_word))
        return word - (1 << 64) if self.sign else 0

    def lanes(self, channels: int) -> int:
        """Lanes that are kept for so many channels: whole chunks of words."""
        chunk = CHUNK * self.per_word
        return -(-channels // chunk) * chunk

    def pack(self, rows: Whole) -> Whole:
        """Lanes (..., n) to words (..., n / per_word), each the sum of its lanes, shifted; negative ones borrow."""
        split = rows.reshape(*rows.shape[:-1], -1, self.per_word)
        return (split << (self.bits * np.arange(self.per_word))).sum(axis=-1)

    def shift(self, threshold: int, lowest: int, highest: int) -> int | None:
        """By how much a neuron's potentials are held higher, so that they fit a lane; None where none does.

        Potentials begin at 0, and a step takes u to ceil(u/2) + a: never below twice the least a. After a step they
        are at most the threshold.
        """
        least, most = 2 * min(lowest, 0), max(threshold, 0)
        smallest, largest = -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
        shift = max(0, smallest - least)
        fits = most + 2 * shift <= largest and (most + 1) // 2 + shift + max(highest, 0) <= largest
        return shift if fits and smallest <= lowest and threshold >= smallest else None


def choose_width(network: IntegerNetwork) -> Width:
    """The narrowest arithmetic that holds every potential of ``network``.

    Raises:
        GraphError: 64 bits are too few for one.
    """
    widths = [Width(dtype) for dtype in (np.int16, np.int32, np.int64)]
    for each in (layer for layer in network.layers if isinstance(layer, Neurons)):
        name, threshold, lowest, highest = each.name, each.threshold, each.lowest, each.highest
        widths = [width for width in widths if width.shift(threshold, lowest, highest) is not None]
        if not widths:
            raise GraphError(
                f"node {name}: currents {lowest} to {highest} and threshold {threshold} need more than 64 bits: "
                "quantise anew"
            )
    return widths[0]
