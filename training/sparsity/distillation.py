"""Distillation: a network learns, beside the labels, what a trained one answers."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from spikinghash.errors import ConfigError
from training.augment import augment
from training.checkpoint import load_checkpoint
from training.config import Config, TrainConfig
from training.data.configured import load_data
from training.loss import relaxed_codes
from training.model.encoder import HashOutput

Answers = Literal["codes", "potentials"]
"""What is learned of the teacher: its bits, or the mean membrane potentials of its hash neurons."""


class Teacher:
    """The network in checkpoint ``path``: it sees the recordings of ``config`` in its own time steps.

    Raises:
        ConfigError: its codes are not those that ``config`` asks for.
    """

    def __init__(self, path: Path, config: Config, answers: Answers, device: torch.device) -> None:
        saved = load_checkpoint(path)
        theirs, ours = saved.config.encoder, config.encoder
        if theirs.head != "hash" or theirs.bits != ours.bits:
            raise ConfigError(
                f"sparsity.teacher {path}: it answers with {theirs.bits} {theirs.head} neurons, encoder.bits is "
                f"{ours.bits}: use a teacher with as many bits"
            )
        self._model, self._device, self._of_codes = saved.model().to(device), device, answers == "codes"
        self._votes, self._own_votes = ours.votes, theirs.votes
        self._frames = load_data(config.model_copy(update={"encoder": theirs}))[0].frames

    @torch.no_grad()
    def answers(self, recordings: NDArray[np.int64], settings: TrainConfig, generator: torch.Generator) -> Tensor:
        """Bits -1 and 1, or mean potentials (B, K), for recordings that are augmented as ``generator`` will do next.

        A teacher that sees the very view that its student sees teaches more than one that answers once
        (Beyer et al. 2022, arXiv:2106.05237).
        """
        same = torch.Generator()
        same.set_state(generator.get_state())
        frames = augment(torch.from_numpy(self._frames[recordings]), settings, same)
        output: HashOutput = self._model(frames.to(self._device))
        if not self._of_codes:
            return output.potentials.mean(0)
        return 2.0 * (output.spikes.sum(0) >= self._own_votes).to(output.spikes.dtype) - 1.0

    def distance(self, output: HashOutput, answers: Tensor) -> Tensor:
        """Mean squared distance of relaxed codes or mean potentials from ``answers``."""
        own = relaxed_codes(output.spikes, self._votes) if self._of_codes else output.potentials.mean(0)
        return functional.mse_loss(own, answers)
