"""Weights as tables of sums: the spikes of four inputs choose one row."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.backends.events.kernels import CHUNK, NIBBLES
from export.encoder.haar import BlockMap
from spikinghash.errors import GraphError

Whole = NDArray[np.int64]
QUAD = 4
"""Inputs that choose a row together."""
_CHOSEN = (np.arange(NIBBLES)[:, None] >> np.arange(QUAD) & 1).astype(np.int64)
"""Which of four inputs spike, by number: bit i for input i."""


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


def choose_width(neurons: dict[str, tuple[int, int, int]]) -> Width:
    """The narrowest arithmetic that holds every potential: (threshold, lowest, highest current) by population.

    Raises:
        GraphError: 64 bits are too few for one.
    """
    widths = [Width(dtype) for dtype in (np.int16, np.int32, np.int64)]
    for name, (threshold, lowest, highest) in neurons.items():
        widths = [width for width in widths if width.shift(threshold, lowest, highest) is not None]
        if not widths:
            raise GraphError(
                f"node {name}: currents {lowest} to {highest} and threshold {threshold} need more than 64 bits: "
                "quantise anew"
            )
    return widths[0]


def linear_table(weight: Whole, bias: Whole, width: Width, first: bool) -> Whole:
    """Rows of a map in words, (16 n, words).

    Args:
        weight: (n, 4, lanes): of each nibble that is read, what its inputs cause.
        bias: (lanes,); in every row that the first nibble can choose.
        first: whether these are the first currents of their sums, which then keep every lane from borrowing.
    """
    rows = np.einsum("ck,nkl->ncl", _CHOSEN, weight)
    rows[0] += bias
    words = width.pack(rows)
    words[0] += width.signs if first else 0
    return words.reshape(len(weight) * NIBBLES, -1)


def block_table(blocks: BlockMap, bias: Whole, size: int, width: Width) -> Whole:
    """Rows of a block map in words: (groups, levels, 16 children size / 4, words).

    Args:
        bias: (channels,).
        size: channels of a group: a multiple of 4 and of the groups of the map, which are put together.
    """
    levels, groups, children, out, _, inp = blocks.kernels.shape
    joint = size // out
    padded = -(-groups // joint)
    kernels = np.zeros((levels, padded, children, joint, out, children, joint, inp), np.int64)
    for group in range(groups):
        at, part = divmod(group, joint)
        kernels[:, at, :, part, :, :, part] = blocks.kernels[:, group]
    # From (level, group, child, out, child, in) to (group, level, its child, quad of its channels, in, child and out).
    split = kernels.reshape(levels, padded, children, size, children, size // QUAD, QUAD)
    weight = split.transpose(1, 0, 4, 5, 6, 2, 3).reshape(padded, levels, -1, QUAD, children * size)
    biases = np.zeros(padded * size, np.int64)
    biases[: len(bias)] = bias
    lanes = width.lanes(children * size)
    rows = np.zeros((padded, levels, weight.shape[2], NIBBLES, lanes), np.int64)
    rows[..., : children * size] = np.einsum("ck,glnkw->glncw", _CHOSEN, weight)
    rows[:, 0, 0, :, : children * size] += np.tile(biases.reshape(padded, 1, size), (1, 1, children))
    return width.pack(rows).reshape(padded, levels, weight.shape[2] * NIBBLES, -1)
