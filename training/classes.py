"""A classification head in the place of the hash layer: objective and accuracy.

The class of a recording is that of the neuron that spikes most often in the window, of several the first: what a chip
can tell from its output. Training follows the membrane potentials, which tell more than spikes, and the spikes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.codes import batches
from training.data.frames import Dataset
from training.data.splits import Indices
from training.model.encoder import HashOutput, Spikinghash

Classify = Callable[[Tensor], NDArray[np.int64]]
"""Frames (B, T, 2, H, W) to classes (B,)."""
SHARPNESS = 2.0
"""What a spike more adds to the logit of its class."""


class ClassLoss(nn.Module):
    """Cross entropy against the classes, of the sums over the window of potentials and of spikes."""

    def forward(self, output: HashOutput, labels: Tensor) -> Tensor:
        """The loss of a batch, a scalar; ``labels`` has shape (B,)."""
        of_potentials = functional.cross_entropy(output.potentials.sum(0), labels)
        return of_potentials + functional.cross_entropy(SHARPNESS * output.spikes.sum(0), labels)


def chosen(counts: NDArray[Any]) -> NDArray[np.int64]:
    """The class of each recording by spikes per class (B, K), or other values: the largest, of several the first."""
    return counts.argmax(axis=1).astype(np.int64)


def float_classifier(model: Spikinghash, device: torch.device) -> Classify:
    """The trained network in evaluation mode, as a function of frames."""

    @torch.no_grad()
    def classify(frames: Tensor) -> NDArray[np.int64]:
        return chosen(model.eval()(frames.to(device)).spikes.sum(0).to(torch.int64).cpu().numpy())

    return classify


def accuracy(classify: Classify, dataset: Dataset, indices: Indices, batch_size: int = 100) -> float:
    """Share of the recordings ``indices`` whose class is found (top-1)."""
    parts = [classify(torch.from_numpy(dataset.frames[batch])) for batch in batches(indices, batch_size)]
    return float((np.concatenate(parts) == dataset.labels[indices]).mean())
