"""Weights as tables of sums: the spikes of four inputs choose one row."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.backends.events.kernels import NIBBLES
from deploy.backends.events.width import CHUNK, Width
from export.encoder.haar import BlockMap
from export.encoder.integer import Whole

QUAD = 4
"""Inputs that choose a row together."""
_CHOSEN = (np.arange(NIBBLES)[:, None] >> np.arange(QUAD) & 1).astype(np.int64)
"""Which of four inputs spike, by number: bit i for input i."""


def linear_table(weight: Whole, bias: Whole, width: Width, first: bool) -> Whole:
    """Rows of a map in words, (chunks, 16 n, 8).

    Args:
        weight: (n, 4, lanes): of each nibble that is read, what its inputs cause.
        bias: (lanes,); in every row that the first nibble can choose.
        first: whether these are the first currents of their sums, which then keep every lane from borrowing.
    """
    rows = np.einsum("ck,nkl->ncl", _CHOSEN, weight)
    rows[0] += bias
    words = width.pack(rows)
    words[0] += width.signs if first else 0
    return _by_chunk(words.reshape(len(weight) * NIBBLES, -1))


def block_table(blocks: BlockMap, bias: Whole, size: int, width: Width) -> Whole:
    """Rows of a block map in words: (groups, levels, chunks, 16 children size / 4, 8).

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
    return _by_chunk(width.pack(rows).reshape(padded, levels, weight.shape[2] * NIBBLES, -1))


def _by_chunk(words: Whole) -> Whole:
    """Rows (..., rows, words) as (..., chunks, rows, 8)."""
    split = words.reshape(*words.shape[:-1], -1, CHUNK)
    return np.ascontiguousarray(split.swapaxes(-3, -2))


def aligned(size: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Zeros that begin with a cache line, so that no vector lies on two."""
    line = 64
    raw = np.zeros(size * np.dtype(dtype).itemsize + line, np.uint8)
    first = -raw.ctypes.data % line
    return raw[first : first + size * np.dtype(dtype).itemsize].view(dtype)
