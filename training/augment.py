"""Random changes of training recordings."""

import torch
from torch import Tensor
from torch.nn import functional


def random_shift(frames: Tensor, largest: int, generator: torch.Generator) -> Tensor:
    """Shift each recording of (B, T, C, H, W) by up to ``largest`` pixels, alike in all steps; zeros move in."""
    if not largest:
        return frames
    height, width = frames.shape[-2:]
    padded = functional.pad(frames, [largest] * 4)
    offsets = torch.randint(2 * largest + 1, (len(frames), 2), generator=generator).tolist()
    moved = [sample[..., y : y + height, x : x + width] for sample, (y, x) in zip(padded, offsets, strict=True)]
    return torch.stack(moved)
