"""Weights as tables of sums: the spikes of four inputs choose one row."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.backends.events.kernels import BY_PIXELS, BY_QUAD, QUAD, SPREAD
from deploy.backends.events.width import CHUNK, Width
from export.encoder.haar import BlockMap
from export.encoder.integer import Whole


def chosen(inputs: int) -> Whole:
    """Which of so many inputs spike, by number, (2^inputs, inputs): bit i for input i."""
    return (np.arange(2**inputs)[:, None] >> np.arange(inputs) & 1).astype(np.int64)


def first_words(width: Width) -> Whole:
    """What every table begins with: zeros, and a row per nibble: its bits as lanes, and last their number."""
    spread = np.zeros((2**QUAD, CHUNK), np.int64)
    spread[:, : QUAD // width.per_word] = width.pack(chosen(QUAD))
    spread[:, -1] = chosen(QUAD).sum(axis=1)
    return np.concatenate([np.zeros(SPREAD, np.int64), spread.reshape(-1)])


def linear_table(weight: Whole, bias: Whole, width: Width, offset: int) -> Whole:
    """Rows of a map in words, (chunks, n, 17 or 65, 8).

    Args:
        weight: (n, inputs, lanes): of each choice that is read, what its inputs cause.
        bias: (lanes,); in every row that the first choice can take, as the offset is.
        offset: of all currents, in maps that begin a sum; 0 in the others.
    """
    rows = np.einsum("ck,nkl->ncl", chosen(weight.shape[1]), weight)
    rows[0] += bias
    words = width.pack(rows)
    words[0] += width.everywhere(offset)
    return _by_chunk(words)


def block_table(blocks: BlockMap, bias: Whole, size: int, width: Width) -> Whole:
    """Rows of a block map in words: (groups, levels, chunks, children size / 4, 17, 8).

    Args:
        bias: (channels,).
        size: channels of a group, into which groups of the map are put: a multiple of 4 and, where one does not hold
            all channels, of the groups of the map.
    """
    levels, groups, children, out, _, inp = blocks.kernels.shape
    joint = size // out
    padded = -(-groups // joint)
    kernels = np.zeros((levels, padded, children, size, children, size), np.int64)
    for group in range(groups):
        at, part = divmod(group, joint)
        kernels[:, at, :, part * out : (part + 1) * out, :, part * inp : (part + 1) * inp] = blocks.kernels[:, group]
    # From (level, group, child, out, child, in) to (group, level, its child, quad of its channels, in, child and out).
    split = kernels.reshape(levels, padded, children, size, children, size // QUAD, QUAD)
    weight = split.transpose(1, 0, 4, 5, 6, 2, 3).reshape(padded, levels, -1, QUAD, children * size)
    biases = np.zeros(padded * size, np.int64)
    biases[: len(bias)] = bias
    lanes = width.lanes(children * size)
    rows = np.zeros((padded, levels, weight.shape[2], 2**QUAD, lanes), np.int64)
    rows[..., : children * size] = np.einsum("ck,glnkw->glncw", chosen(QUAD), weight)
    rows[:, 0, 0, :, : children * size] += np.tile(biases.reshape(padded, 1, size), (1, 1, children))
    return _by_chunk(width.pack(rows))


def _by_chunk(words: Whole) -> Whole:
    """Rows (..., choices, rows, words) as (..., chunks, choices, room for rows, 8)."""
    *outer, choices, rows, width = words.shape
    room = (BY_QUAD if rows == 2**QUAD else BY_PIXELS) // CHUNK
    split = np.zeros((*outer, width // CHUNK, choices, room, CHUNK), np.int64)
    split[..., :rows, :] = np.moveaxis(words.reshape(*outer, choices, rows, -1, CHUNK), -2, len(outer))
    return split


def aligned(size: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Zeros that begin with a cache line, so that no vector lies on two."""
    line = 64
    raw = np.zeros(size * np.dtype(dtype).itemsize + line, np.uint8)
    first = -raw.ctypes.data % line
    return raw[first : first + size * np.dtype(dtype).itemsize].view(dtype)
