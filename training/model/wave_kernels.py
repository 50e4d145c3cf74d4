"""The WaveMixer's map on a CPU: Haar transform, fusion and inverse transform of one batch of blocks after the other.

A batch of blocks stays in the cache from the first transform to the last. Its values lie as (member of a block, lane),
a lane being a channel of one of the blocks, so that all innermost loops, compiled by Numba, run along lanes.

Transforms are not normalised: a butterfly is (a + b, a - b) in both directions, and a coefficient of support N is the
sum of N values with signs. The inverse of the pair is then 1/N of its transpose, and fusions are scaled by 1/N. A
coefficient of spikes is a small integer, exact in any precision.

A fusion within groups of g channels is a matrix of C channels with 2 g - 1 diagonals:
``y[c] = sum_s d[s, c] x[c + s]``, where d[s, c] is 0 if c and c + s are in different groups. So lanes are read in
order, whatever g is.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.model.threads import in_threads, shares

Array = NDArray[Any]

_LANES = 192
"""Least number of lanes: enough to make up for the cost of a loop, few enough for the cache."""

_Kernel = Callable[..., None]
_compiled: Callable[[_Kernel], _Kernel] = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})


class Layout(NamedTuple):
    """Where blocks lie in a signal (T, B, H, W, C), and their coefficients in a transformed block."""

    corners: Array
    """Offset of the first value of each block."""
    members: Array
    """Offset of each position within a block: finest level first, so that coefficients of a subband come together."""
    order: Array
    """Positions in the order of their offsets: the order in which memory is best read."""
    bands: Array
    """First coefficient and number of coefficients of each subband, coarse to fine."""
    channels: int
    axes: int
    """Axes that are transformed."""
    levels: int


@lru_cache(maxsize=16)
def layout(shape: tuple[int, ...], levels: int, axes: str) -> Layout:
    """Blocks of 2^L along each of ``axes``, letters out of "thw", in a signal of ``shape`` (T, B, H, W, C).

    The order of the axes is that of the details of a level: those along the last of ``axes`` alone come first.
    """
    t, b, h, w, c = shape
    steps = [2**levels if axis in axes else 1 for axis in "thw"]
    if any(side % step for side, step in zip((t, h, w), steps, strict=True)):
        raise ValueError(f"signal of {t} x {h} x {w} (time, height, width): must be multiples of {steps}")
    positions = np.arange(0, t * b * h * w * c, c).reshape(t, b, h, w)
    strides = {"t": b * h * w * c, "h": w * c, "w": c}
    members = np.zeros(1, np.int64)
    for level in reversed(range(levels)):
        for axis in reversed(axes):
            members = np.concatenate([members, members + strides[axis] * 2**level])
    counts = [2 ** (len(axes) * level) for level in range(levels)]
    bands = [(0, 1), *((detail * count, count) for count in counts for detail in range(1, 2 ** len(axes)))]
    corners = positions[:: steps[0], :, :: steps[1], :: steps[2]].reshape(-1)
    return Layout(corners, members, np.argsort(members), np.array(bands), c, len(axes), levels)


class _Mix(torch.autograd.Function):
    """See ``mix``; channels are last. Only inputs are kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, signal: Tensor, fusion: Tensor, levels: int, axes: str) -> Tensor:
        signal = signal.contiguous()
        ctx.save_for_backward(signal, fusion)
        ctx.blocks = blocks = layout(signal.shape, levels, axes)
        result = torch.empty_like(signal)
        tables = _tables(blocks, fusion.detach().numpy())
        arrays = [each.detach().reshape(-1).numpy() for each in (signal, result)]
        in_threads(lambda part: _mix(blocks, *arrays, tables, *part), _parts(blocks, tables))
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        signal, fusion = ctx.saved_tensors
        blocks, outer = ctx.blocks, gradients[0].contiguous()
        result = torch.empty_like(signal)
        tables = _tables(blocks, fusion.detach().mT.numpy())
        arrays = [each.detach().reshape(-1).numpy() for each in (signal, outer, result)]

        def compute(part: tuple[int, int]) -> Array:
            of_tables = np.zeros_like(tables)
            _gradients(blocks, *arrays, tables, of_tables, *part)
            return of_tables

        of_tables = np.sum(in_threads(compute, _parts(blocks, tables)), 0)
        return result, torch.from_numpy(_from_tables(blocks, of_tables, fusion.shape)), None, None


def mix(signal: Tensor, fusion: Tensor, levels: int, axes: str) -> Tensor:
    """Haar transform of ``levels`` levels, fusion of each subband within groups of channels, inverse transform.

    Args:
        signal: (T, B, C, H, W), float32 or float64; T, H and W, where transformed, are multiples of 2^levels.
        fusion: (subbands, groups, out, in).
        levels: L.
        axes: to transform, letters out of "thw"; see ``layout`` for their order.

    Returns:
        The shape of ``signal``, with channels last in memory.

    Raises:
        ValueError: shapes do not fit.
    """
    _, groups, size, _ = fusion.shape
    if signal.shape[2] != groups * size:
        raise ValueError(f"signal of {signal.shape[2]} channels: the fusion has {groups} groups of {size}")
    result: Tensor = _Mix.apply(signal.movedim(2, -1), fusion.to(signal.dtype), levels, axes)  # type: ignore[no-untyped-call]
    return result.movedim(-1, 2)


def _parts(blocks: Layout, tables: Array) -> list[tuple[int, int]]:
    """First block of each thread, and the one after its last."""
    _, diagonals, _ = tables.shape
    return shares(len(blocks.corners), len(blocks.members) * blocks.channels * diagonals)


def _tables(blocks: Layout, fusion: Array) -> Array:
    """Scaled fusions (bands, groups, out, in) by diagonals, for each block of a batch: (bands, 2 g - 1, lanes)."""
    bands, groups, size, _ = fusion.shape
    out, inp = np.indices((size, size)).reshape(2, -1)
    table = np.zeros((bands, 2 * size - 1, groups, size), fusion.dtype)
    scaled = fusion * _scale(blocks, fusion.dtype)
    table[:, inp - out + size - 1, :, out] = np.moveaxis(scaled[:, :, out, inp], -1, 0)
    return np.tile(table.reshape(bands, 2 * size - 1, -1), -(-_LANES // (groups * size)))


def _from_tables(blocks: Layout, tables: Array, shape: tuple[int, ...]) -> Array:
    """The transpose of ``_tables``, for gradients."""
    bands, groups, size, _ = shape
    out, inp = np.indices((size, size)).reshape(2, -1)
    table = tables.reshape(bands, 2 * size - 1, -1, groups, size).sum(2)
    fusion = np.empty(shape, tables.dtype)
    fusion[:, :, out, inp] = np.moveaxis(table[:, inp - out + size - 1, :, out], 0, -1)
    return fusion * _scale(blocks, tables.dtype)


def _scale(blocks: Layout, dtype: np.dtype[Any]) -> Array:
    """1/N of each band, shape (bands, 1, 1, 1)."""
    return (blocks.bands[:, 1] / len(blocks.members)).astype(dtype).reshape(-1, 1, 1, 1)


@_compiled
def _mix(blocks: Layout, signal: Array, result: Array, tables: Array, start: int, stop: int) -> None:
    """Write the mix of blocks ``start`` to ``stop``."""
    lanes = tables.shape[2]
    size, margins = len(blocks.members) * lanes, tables.shape[1] - 1  # diagonals reach beyond the first and last value
    values, mixed = np.zeros(size + margins, signal.dtype), np.empty(size, signal.dtype)
    batch = lanes // blocks.channels
    for first in range(start, stop, batch):
        corners = blocks.corners[first : min(first + batch, stop)]
        _analyse(blocks, signal, corners, lanes, values, margins // 2)
        for band in range(len(tables)):
            _fuse(values, tables[band], blocks.bands[band], mixed)
        _synthesise(blocks, mixed, lanes, corners, result)


@_compiled
def _gradients(
    blocks: Layout, signal: Array, outer: Array, result: Array, tables: Array, of_tables: Array, start: int, stop: int
) -> None:
    """Write the gradient of blocks ``start`` to ``stop`` of the signal, and add to that of the tables.

    ``outer`` is the gradient of the result, ``tables`` those of the transposed fusions. Analysis and synthesis being
    each other's transposes, the gradient of a fusion is the correlation of the coefficients of signal and ``outer``.
    """
    lanes = tables.shape[2]
    size, margins = len(blocks.members) * lanes, tables.shape[1] - 1
    values, outers = np.zeros(size + margins, signal.dtype), np.zeros(size + margins, signal.dtype)
    mixed = np.empty(size, signal.dtype)
    batch = lanes // blocks.channels
    for first in range(start, stop, batch):
        corners = blocks.corners[first : min(first + batch, stop)]
        _analyse(blocks, signal, corners, lanes, values, margins // 2)
        _analyse(blocks, outer, corners, lanes, outers, margins // 2)
        for band in range(len(tables)):
            _correlate(values, outers, blocks.bands[band], of_tables[band])
            _fuse(outers, tables[band], blocks.bands[band], mixed)
        _synthesise(blocks, mixed, lanes, corners, result)


@_compiled
def _analyse(blocks: Layout, signal: Array, corners: Array, lanes: int, scratch: Array, margin: int) -> None:
    size = len(blocks.members) * lanes
    values = scratch[margin : margin + size]
    if len(corners) * blocks.channels < lanes:
        values[:] = 0
    _copy(blocks, signal, corners, lanes, values, True)
    for level in range(blocks.levels):
        _butterflies(values[: size >> level * blocks.axes], blocks.axes)


@_compiled
def _synthesise(blocks: Layout, values: Array, lanes: int, corners: Array, result: Array) -> None:
    size = len(blocks.members) * lanes
    for level in range(blocks.levels - 1, -1, -1):
        _butterflies(values[: size >> level * blocks.axes], blocks.axes)
    _copy(blocks, result, corners, lanes, values, False)


@_compiled
def _copy(blocks: Layout, signal: Array, corners: Array, lanes: int, values: Array, gather: bool) -> None:
    """Between the blocks at ``corners`` of a signal and their lanes: ``gather`` them, or scatter the lanes."""
    channels = blocks.channels
    for member in blocks.order:
        for block in range(len(corners)):
            offset, lane = corners[block] + blocks.members[member], member * lanes + block * channels
            there, here = signal[offset : offset + channels], values[lane : lane + channels]
            source, target = (there, here) if gather else (here, there)
            for c in range(channels):
                target[c] = source[c]


@_compiled
def _butterflies(values: Array, axes: int) -> None:
    """One level: sums and differences along each axis, that of the most significant bit of a member first."""
    half = len(values)
    for _ in range(axes):
        half //= 2
        for first in range(0, len(values), 2 * half):
            left, right = values[first : first + half], values[first + half : first + 2 * half]
            for n in range(half):
                a, b = left[n], right[n]
                left[n], right[n] = a + b, a - b


@_compiled
def _fuse(values: Array, table: Array, band: Array, mixed: Array) -> None:
    diagonals, lanes = table.shape
    for start in range(band[0] * lanes, (band[0] + band[1]) * lanes, lanes):
        out = mixed[start : start + lanes]
        x, weights = values[start : start + lanes], table[0]
        for n in range(lanes):
            out[n] = weights[n] * x[n]
        for s in range(1, diagonals):
            x, weights = values[start + s : start + s + lanes], table[s]
            for n in range(lanes):
                out[n] += weights[n] * x[n]


@_compiled
def _correlate(values: Array, outers: Array, band: Array, of_table: Array) -> None:
    diagonals, lanes = of_table.shape
    reach = diagonals // 2
    for start in range(band[0] * lanes, (band[0] + band[1]) * lanes, lanes):
        outer = outers[start + reach : start + reach + lanes]
        for s in range(diagonals):
            x, total = values[start + s : start + s + lanes], of_table[s]
            for n in range(lanes):
                total[n] += outer[n] * x[n]
