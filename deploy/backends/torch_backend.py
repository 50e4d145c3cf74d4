"""A checkpoint on torch."""

from pathlib import Path

import torch

from deploy.backends.encoder import Codes, Frames, Trace, totals
from export.encoder.forms import Numbers
from export.encoder.network import load_network


class TorchEncoder:
    """A checkpoint on torch: its integer network, or the float one."""

    backend = "torch"

    def __init__(self, path: Path, numbers: Numbers = "integer", threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        network = load_network(path, numbers)
        self.time_steps, self.size, self.bits = network.config.time_steps, network.config.size, network.config.bits
        self.classes = network.classes
        self.data = network.data
        self._executor = network.executor()

    def encode(self, frames: Frames) -> Codes:
        """Packed codes (B, K/8) of frames (B, T, 2, H, W)."""
        return self._executor.encode(frames)

    def trace(self, frames: Frames) -> Trace:
        """``encode``, with the activity of the layers."""
        codes, spikes = self._executor.layers(frames)
        return Trace(codes, totals(spikes), spikes)
