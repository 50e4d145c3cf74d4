"""A wave mixer's block map taken apart by level: what is constant is stored and added once.

A Haar function of a coarse level is constant on cells of 2 x 2 x 2 members of the level below. So how a member of a
block reaches another depends only on where the two part: within one cell the map is any, from one cell to its
neighbours it is the same for all members. A map of (2^L)^3 members becomes L small ones between eight children each.
Rounding keeps that, since equal entries are rounded alike; that it holds is checked, entry by entry.

Needs no torch.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_AXES = ("t", "hw", "thw")
"""Axes that a transform may have, those with the smallest maps first."""


@dataclass(frozen=True)
class BlockMap:
    """A linear map of blocks of spikes, per group of channels, as a sum over levels.

    Members of a block are numbered by digits base ``children``, the finest level last: the members of a cell follow on
    each other. On level l a cell has ``children`` children of ``children^l`` members each. A spike causes
    ``kernels[l][group, child, :, its child, its channel]`` in every member of each child of its cell.
    """

    kernels: NDArray[Any]
    """(levels, groups, children, out, children, in)."""
    members: NDArray[np.int64]
    """Time, row and column of each member, (members, 3)."""
    sides: tuple[int, int, int]
    """Steps, rows and columns of a block."""

    @property
    def levels(self) -> int:
        """Levels of cells."""
        return len(self.kernels)

    @property
    def children(self) -> int:
        """Children of a cell."""
        return self.kernels.shape[2]

    @property
    def digits(self) -> tuple[int, int, int]:
        """Children of a cell along time, height and width."""
        t, y, x = (round(side ** (1 / self.levels)) for side in self.sides)
        return t, y, x

    def whole(self) -> NDArray[Any]:
        """The map written out: (groups, members, out, members, in)."""
        count, (levels, groups, children, out, _, inp) = len(self.members), self.kernels.shape
        result = np.zeros((groups, count, out, count, inp), self.kernels.dtype)
        numbers = np.arange(count)
        for level in range(levels):
            child, cell = numbers // children**level % children, numbers // children ** (level + 1)
            joint = (cell[:, None] == cell[None, :])[None, :, None, :, None]
            result += joint * self.kernels[level][:, child][:, :, :, child]
        return result


def split_levels(weight: NDArray[Any], levels: int) -> BlockMap:
    """The block map ``weight`` (groups, out 8^L, in 8^L), channel major, then (t, y, x), by level.

    One that no Haar transform made comes back as a single level, whose children are all members.
    """
    block = 2**levels
    groups, rows, columns = weight.shape
    full = weight.reshape(groups, rows // block**3, block, block, block, columns // block**3, block, block, block)
    for axes in _AXES if levels else ():
        found = _split(full, levels, axes)
        if found is not None:
            return found
    members = np.stack(np.unravel_index(np.arange(block**3), (block,) * 3), axis=1)
    return BlockMap(_between(full, members)[None], members, (block, block, block))


def join_levels(blocks: BlockMap) -> NDArray[Any]:
    """What ``split_levels`` took apart, (groups, out, t, y, x, in, t, y, x)."""
    side = max(blocks.sides)
    whole = blocks.whole()
    groups, _, out, _, inp = whole.shape
    full = np.zeros((groups, out, side, side, side, inp, side, side, side), whole.dtype)
    for shift in _shifts(blocks.sides):
        t, y, x = (blocks.members + shift).T
        rows, columns = (t[:, None], y[:, None], x[:, None]), (t, y, x)
        full[:, :, *rows, :, *columns] = whole.transpose(1, 3, 0, 2, 4)  # the places come first
    return full


def _shifts(sides: tuple[int, int, int]) -> NDArray[np.int64]:
    """By how much the positions differ that a transform does not join: along the axes that it leaves alone."""
    side = max(sides)
    others = [range(side if own < side else 1) for own in sides]
    return np.stack(np.meshgrid(*others, indexing="ij"), axis=-1).reshape(-1, 3)


def _split(full: NDArray[Any], levels: int, axes: str) -> BlockMap | None:
    """The map by levels of a transform along ``axes``, or None if it is not one."""
    members, children = _members(levels, axes), 2 ** len(axes)
    between = _between(full, members)
    kernels = []
    for level in range(levels):
        first = np.arange(children) * children**level
        kernel = between[:, first][:, :, :, first]
        if level:  # a child reaches itself on the levels below
            kernel[:, np.arange(children), :, np.arange(children)] = 0
        kernels.append(kernel)
    block = 2**levels
    result = BlockMap(np.stack(kernels), members, tuple(block if axis in axes else 1 for axis in "thw"))  # type: ignore[arg-type]
    return result if np.array_equal(result.whole(), between) and _is_diagonal(full, result, between) else None


def _between(full: NDArray[Any], members: NDArray[np.int64]) -> NDArray[Any]:
    """(groups, members, out, members, in) of the map (groups, out, t, y, x, in, t, y, x)."""
    t, y, x = members.T
    rows = np.moveaxis(full[:, :, t, y, x], 2, 1)
    return np.moveaxis(rows[:, :, :, :, t, y, x], 4, 3)


def _is_diagonal(full: NDArray[Any], blocks: BlockMap, between: NDArray[Any]) -> bool:
    """Whether positions that differ along another axis do not reach each other, and are alike."""
    shifts = _shifts(blocks.sides)
    alike = all(np.array_equal(_between(full, blocks.members + shift), between) for shift in shifts)
    return alike and int(np.count_nonzero(full)) == len(shifts) * int(np.count_nonzero(between))


def _members(levels: int, axes: str) -> NDArray[np.int64]:
    """Time, row and column of the members of a block, by digits: within a digit the first axis counts most."""
    numbers, children = np.arange(2 ** (levels * len(axes))), 2 ** len(axes)
    places = np.zeros((len(numbers), 3), np.int64)
    for level in range(levels):
        digit = numbers // children**level % children
        for position, axis in enumerate(reversed(axes)):
            places[:, "thw".index(axis)] |= (digit >> position & 1) << level
    return places
