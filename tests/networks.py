"""Small untrained encoders whose neurons do spike, for tests that need a network but no skill."""

import copy
import functools

import numpy as np
import torch
from numpy.typing import NDArray

from training.config import EncoderConfig
from training.data.frames import Dataset
from training.model.encoder import Spikinghash

SMALL = EncoderConfig(
    time_steps=4, size=16, channels=(4, 8, 8), blocks=(1, 1, 1), mixers=("swm", "swm", "ssa"), levels=(2, 1, 0),
    channels_per_group=2, heads=(0, 0, 4), mlp_ratio=2, bits=8,
)  # fmt: skip
TINY = EncoderConfig(
    size=16, time_steps=4, channels=(4, 8), blocks=(1, 1), mixers=("swm", "ssa"), levels=(1, 0), heads=(0, 2),
    channels_per_group=2, mlp_ratio=2, bits=8,
)  # fmt: skip
DEEP = EncoderConfig(
    time_steps=8, size=16, channels=(4, 8), blocks=(2, 1), mixers=("swm", "ssa"), levels=(1, 0),
    channels_per_group=4, heads=(0, 4), mlp_ratio=1, bits=16,
)  # fmt: skip
"""Two wave mixers in a row, whose shortcuts need delays of delayed maps."""


def calibrated(config: EncoderConfig, seed: int = 0) -> Spikinghash:
    """A network of the caller's own whose batch norm knows its inputs and whose gains make every layer spike."""
    return copy.deepcopy(_calibrated(config, seed))


@functools.cache
def _calibrated(config: EncoderConfig, seed: int) -> Spikinghash:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = Spikinghash(config)
    for name, parameter in model.named_parameters():
        if "norm.weight" in name:
            torch.nn.init.uniform_(parameter, 1.0, 2.0)
        if "norm.bias" in name:
            torch.nn.init.uniform_(parameter, -0.2, 0.6)
    frames = torch.rand(64, config.time_steps, 2, config.size, config.size, generator=generator) < 0.2
    with torch.no_grad():
        for _ in range(30):
            model(frames)
    return model.eval()


def random_frames(config: EncoderConfig, samples: int, seed: int = 1, density: float = 0.2) -> NDArray[np.uint8]:
    """Binary frames (B, T, 2, H, W)."""
    shape = (samples, config.time_steps, 2, config.size, config.size)
    return (np.random.default_rng(seed).random(shape) < density).astype(np.uint8)


def bars(count: int = 160) -> Dataset:
    """Recordings of SMALL's sizes in two classes that are easy to tell apart: bars that lie, and bars that stand."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 2
    frames = (generator.random((count, 4, 2, 16, 16)) < 0.02).astype(np.uint8)
    for index, label in enumerate(labels.tolist()):
        for row in generator.choice(8, 3, replace=False) * 2:
            frames[index, :, :, row] = 1
        if label:
            frames[index] = frames[index].swapaxes(-1, -2)
    return Dataset(frames, labels, [str(index) for index in range(count)])
