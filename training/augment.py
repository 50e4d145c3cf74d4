"""Random changes of training recordings: frames (B, T, C, H, W), of any type, that stay binary."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from training.config import TrainConfig
from training.data.binning import Crop, square_side

_BENDS = 5
"""Points along each side between which the field of an elastic distortion is smooth."""


LEAST_SHIFT = 2
"""Pixels by which recordings are moved by default, of sensors that are not scaled down."""
SHIFTED_SHARE = 5
"""Those of sensors that are, by up to 1/5 of the side (26 of 128 pixels)."""


def frame_shift(largest: int | None, sensor: tuple[int, int] | None, size: int, crop: Crop | None = None) -> int:
    """``largest``, in pixels of the sensor, in those of a frame of ``size``; ``None``: the default.

    >>> frame_shift(24, (128, 128), 32), frame_shift(None, (128, 128), 32), frame_shift(None, (34, 34), 32)
    (6, 6, 2)
    """
    side = size if sensor is None else square_side(sensor, size, crop)
    scaled = side > size
    if largest is None:
        return round(size / SHIFTED_SHARE) if scaled else LEAST_SHIFT
    return min(size, math.ceil(largest * size / side) if scaled else largest)


def augment(
    frames: Tensor,
    settings: TrainConfig,
    generator: torch.Generator,
    sensor: tuple[int, int] | None = None,
    crop: Crop | None = None,
) -> Tensor:
    """Change each recording of ``frames``, the ``crop`` of a ``sensor``, at random, as far as ``settings`` says.

    All numbers are drawn from ``generator`` (of the CPU), and none for a change that is left out.
    """
    frames = random_warp(frames, settings.rotate, settings.zoom, settings.elastic, generator)
    if settings.flip:
        frames = random_flip(frames, generator)
    shift = frame_shift(settings.max_shift, sensor, frames.shape[-1], crop)
    frames = random_shift(frames, shift, generator)
    frames = random_delay(frames, settings.time_jitter, generator)
    return random_drop(frames, settings.drop, generator)


def random_shift(frames: Tensor, largest: int, generator: torch.Generator) -> Tensor:
    """Shift each recording by up to ``largest`` pixels, alike in all steps; zeros move in."""
    if not largest:
        return frames
    height, width = frames.shape[-2:]
    padded = functional.pad(frames, [largest] * 4)
    offsets = torch.randint(2 * largest + 1, (len(frames), 2), generator=generator).tolist()
    moved = [sample[..., y : y + height, x : x + width] for sample, (y, x) in zip(padded, offsets, strict=True)]
    return torch.stack(moved)


def random_flip(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each recording left to right with probability 1/2; ON stays ON."""
    mirrored = torch.rand(len(frames), generator=generator).to(frames.device) < 0.5
    return torch.where(mirrored[:, None, None, None, None], frames.flip(-1), frames)


def random_drop(frames: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Clear each pixel of each frame with probability ``share``: an event camera that misses events."""
    if not share:
        return frames
    missed = torch.rand(frames.shape, generator=generator).to(frames.device) < share
    return frames.masked_fill(missed, 0)


def random_delay(frames: Tensor, largest: int, generator: torch.Generator) -> Tensor:
    """Move each recording by up to ``largest`` steps earlier or later; empty frames move in."""
    if not largest:
        return frames
    steps = frames.shape[1]
    padded = functional.pad(frames, [0] * 6 + [largest] * 2)
    first = torch.randint(2 * largest + 1, (len(frames), 1), generator=generator)
    source = (first + torch.arange(steps)).to(frames.device)
    return padded[torch.arange(len(frames), device=frames.device)[:, None], source]


def random_warp(frames: Tensor, degrees: float, zoom: float, elastic: float, generator: torch.Generator) -> Tensor:
    """Turn each recording by up to ``degrees``, scale it by up to 1 -/+ ``zoom`` about its centre, and bend it.

    Bending moves each pixel by a smooth random field of standard deviation ``elastic`` (elastic distortion: Simard,
    Steinkraus, Platt 2003, section 2). A pixel takes the value of the nearest one at the place that it comes from, so
    that frames stay binary; zeros come in from outside.
    """
    if not degrees and not zoom and not elastic:
        return frames
    height, width = frames.shape[-2:]
    angle, scale = (2 * torch.rand(2, len(frames), generator=generator) - 1) * torch.tensor([[degrees], [zoom]])
    bend = torch.zeros(2, 1, height, width)
    if elastic:
        bend = elastic * smooth_field(len(frames), height, width, generator)
    source, inside = _sources(angle * math.pi / 180, 1 + scale, bend)
    index = source.to(frames.device)[:, None, None].expand(*frames.shape[:3], -1)
    moved = frames.flatten(-2).gather(-1, index).reshape(frames.shape)
    return moved.masked_fill(~inside.to(frames.device).reshape(len(frames), 1, 1, height, width), 0)


def smooth_field(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Displacements down and right, shape (2, count, height, width): normal numbers on a 5x5 grid, interpolated."""
    coarse = torch.randn(2, count, _BENDS, _BENDS, generator=generator)
    return functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)


def _sources(angle: Tensor, scale: Tensor, bend: Tensor) -> tuple[Tensor, Tensor]:
    """Index of the pixel that each pixel takes its value from, and whether there is one; shapes (B, H * W)."""
    height, width = bend.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    cosine, sine = (torch.cos(angle) / scale)[:, None, None], (torch.sin(angle) / scale)[:, None, None]
    row = torch.round(cosine * y - sine * x + bend[0] + (height - 1) / 2).long()
    column = torch.round(sine * y + cosine * x + bend[1] + (width - 1) / 2).long()
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    return index.flatten(1), inside.flatten(1)
