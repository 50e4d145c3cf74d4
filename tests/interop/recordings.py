"""Recordings on which committed encoders are compared."""

from pathlib import Path

import numpy as np

from deploy.backends.encoders import Frames
from deploy.backends.verify import choose_frames
from training.data.frames import load_dataset

SAMPLES = 16
"""Of each data set."""


def half_real(nmnist_folder: Path, steps: int) -> Frames:
    """Frames in ``steps`` time steps, half of them of digits, half of real recordings."""
    return np.concatenate([
        choose_frames(load_dataset("digits", time_steps=steps), SAMPLES),
        choose_frames(load_dataset("nmnist", root=nmnist_folder, time_steps=steps), SAMPLES),
    ])  # fmt: skip
