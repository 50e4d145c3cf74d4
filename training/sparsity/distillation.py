"""Distillation: a network learns, beside the labels, what a trained one answers."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from spikinghash.errors import ConfigError
from training.checkpoint import load_checkpoint
from training.config import Config
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
        self._taught = torch.zeros(len(self._frames), ours.bits, device=device)
        self._known = np.zeros(len(self._frames), np.bool_)

    @torch.no_grad()
    def answers(self, recordings: NDArray[np.int64]) -> Tensor:
        """Bits -1 and 1, or mean potentials (B, K), for ``recordings`` as they are, whatever view the student sees.

        Each is asked for once: a teacher of twice as many steps took a third of a training that asked it anew for each
        augmented view.
        """
        new = recordings[~self._known[recordings]]
        if len(new):
            self._taught[new] = self._answer(torch.from_numpy(self._frames[new]))
            self._known[new] = True
        return self._taught[recordings]

    def _answer(self, frames: Tensor) -> Tensor:
        output: HashOutput = self._model(frames.to(self._device))
        if not self._of_codes:
            return output.potentials.mean(0)
        return 2.0 * (output.spikes.sum(0) >= self._own_votes).to(output.spikes.dtype) - 1.0

    def distance(self, output: HashOutput, answers: Tensor) -> Tensor:
        """Mean squared distance of relaxed codes or mean potentials from ``answers``."""
        own = relaxed_codes(output.spikes, self._votes) if self._of_codes else output.potentials.mean(0)
        return functional.mse_loss(own, answers)
