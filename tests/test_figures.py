"""The similarity matrices against loops over pairs."""

import math
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from training.figures import by_class, draw, hash_similarity, soft_similarity


def test_soft_similarity_of_each_pair() -> None:
    potentials = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    actual = soft_similarity(potentials, alpha=5.0, beta=2.0)
    for i, j in np.ndindex(5, 5):
        u, v = potentials[i].numpy(), potentials[j].numpy()
        cosine = float(u @ v) / math.sqrt(float(u @ u) * float(v @ v))
        assert actual[i, j] == pytest.approx(1 / (1 + math.exp(2 - 5 * cosine)), rel=1e-4)


def test_hash_similarity_of_each_pair() -> None:
    bits = torch.randint(0, 2, (6, 16), generator=torch.Generator().manual_seed(1))
    actual = hash_similarity(bits)
    for i, j in np.ndindex(6, 6):
        assert actual[i, j] == pytest.approx(sum(int(a == b) for a, b in zip(bits[i], bits[j], strict=True)) / 16)


def test_recordings_are_sorted_by_class() -> None:
    labels = np.array([2, 0, 1, 0, 2, 1, 0])
    assert by_class(labels, np.arange(7), 2).tolist() == [1, 3, 2, 5, 0, 4]


def test_the_picture_shows_every_matrix(tmp_path: Path) -> None:
    draw({"a": np.eye(4), "b": np.ones((4, 4))}, tmp_path / "s.png")
    pixels = matplotlib.image.imread(tmp_path / "s.png")[..., :3]
    height, width, _ = pixels.shape
    assert width > 1.5 * height
    colours = {tuple(pixel) for pixel in (255 * pixels[:, : width // 2]).astype(int).reshape(-1, 3)}
    assert {(68, 1, 84), (253, 231, 36)} <= colours  # the ends of viridis: the identity has both 0 and 1
