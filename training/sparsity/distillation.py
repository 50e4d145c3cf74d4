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
from training.codes import batches
from training.config import Config
from training.data.configured import load_data
from training.loss import relaxed_codes
from training.model.encoder import HashOutput

Answers = Literal["codes", "potentials"]
"""What is learned of the teacher: its bits, or the mean membrane potentials of its hash neurons."""


class Teacher:
    """The answers of the network in checkpoint ``path`` to all recordings of ``config``, in its own time steps.

    It answers once, to recordings that are not augmented.
    """

    def __init__(self, path: Path, config: Config, answers: Answers, device: torch.device) -> None:
        saved = load_checkpoint(path)
        theirs, ours = saved.config.encoder, config.encoder
        if theirs.head != "hash" or theirs.bits != ours.bits:
            raise ConfigError(
                f"sparsity.teacher {path}: it answers with {theirs.bits} {theirs.head} neurons, encoder.bits is "
                f"{ours.bits}: use a teacher with as many bits"
            )
        model = saved.model().to(device)
        dataset, _ = load_data(config.model_copy(update={"encoder": theirs}))
        parts = []
        with torch.no_grad():
            for batch in batches(np.arange(len(dataset)), 100):
                output = model(torch.from_numpy(dataset.frames[batch]).to(device))
                bits = 2.0 * (output.spikes.sum(0) >= theirs.votes) - 1.0
                parts.append(bits if answers == "codes" else output.potentials.mean(0))
        self._answers, self._of_codes = torch.cat(parts), answers == "codes"
        self._votes = ours.votes
        self._scale = float(self._answers.var())
        if not self._scale:
            raise ConfigError(
                f"sparsity.teacher {path}: it answers all recordings alike: use one that has learned them"
            )

    def loss(self, output: HashOutput, recordings: NDArray[np.int64]) -> Tensor:
        """Mean squared distance of the relaxed codes or mean potentials from the answers, over their variance."""
        own = relaxed_codes(output.spikes, self._votes) if self._of_codes else output.potentials.mean(0)
        wanted = self._answers[torch.from_numpy(recordings).to(own.device)]
        return functional.mse_loss(own, wanted) / self._scale
