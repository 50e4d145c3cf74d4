"""A classification head in the place of the hash layer: objective and accuracy."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.codes import batches
from training.data.frames import Dataset
from training.data.splits import Indices
from training.model.encoder import HashOutput, Spikinghash


def logits(output: HashOutput) -> Tensor:
    """Sum over the window of the membrane potentials before the reset: (T, B, K) to (B, K)."""
    return output.potentials.sum(0)


class ClassLoss(nn.Module):
    """Cross entropy of ``logits`` against the classes."""

    def forward(self, output: HashOutput, labels: Tensor) -> Tensor:
        """The loss of a batch, a scalar; ``labels`` has shape (B,)."""
        return functional.cross_entropy(logits(output), labels)


@torch.no_grad()
def accuracy(model: Spikinghash, dataset: Dataset, indices: Indices, device: torch.device) -> float:
    """Share of the recordings ``indices`` whose class has the largest of ``logits``."""
    model.eval()
    found = [
        logits(model(torch.from_numpy(dataset.frames[batch]).to(device))).argmax(1).cpu().numpy()
        for batch in batches(indices, 100)
    ]
    return float((np.concatenate(found) == dataset.labels[indices]).mean())
