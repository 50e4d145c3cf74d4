"""Codes of many recordings, and the retrieval figures of a trained network."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.frames import Dataset
from training.data.splits import Indices
from training.model.encoder import Spikinghash
from training.retrieval import RetrievalFigures, evaluate

Codes = NDArray[np.uint8]
Encode = Callable[[Tensor], Tensor]
"""Frames (B, T, 2, H, W) to bits (B, K)."""


def batches(indices: Indices, size: int) -> Iterator[Indices]:
    """``indices`` in pieces of ``size``."""
    yield from np.split(indices, range(size, len(indices), size))


def encode_all(encode: Encode, dataset: Dataset, indices: Indices, batch_size: int = 100) -> Codes:
    """Packed codes, shape (len(indices), K/8)."""
    parts = [encode(torch.from_numpy(dataset.frames[batch])).cpu().numpy() for batch in batches(indices, batch_size)]
    return np.packbits(np.concatenate(parts).astype(np.uint8), axis=1)


def retrieval_figures(encode: Encode, dataset: Dataset, queries: Indices, database: Indices) -> RetrievalFigures:
    """Search ``database`` for each of ``queries``."""
    return evaluate(
        encode_all(encode, dataset, queries),
        dataset.labels[queries],
        encode_all(encode, dataset, database),
        dataset.labels[database],
    )


def float_encoder(model: Spikinghash, device: torch.device) -> Encode:
    """The float network in evaluation mode, as a function of frames."""
    return lambda frames: model.eval().codes(frames.to(device))
