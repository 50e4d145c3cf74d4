"""The committed checkpoints give the figures that the project states for them."""

import json
from pathlib import Path

import pytest

from export.evaluate import held_out_figures
from training.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[1]


def stated(dataset: str) -> float:
    """mAP of the integer network of 32 bits and seed 0 in docs/results.json."""
    (row,) = (
        row
        for row in json.loads((ROOT / "docs" / "results.json").read_text())
        if (row["dataset"], row["kind"], row["bits"]) == (dataset, "spikinghash_integer", 32)
    )
    return float(row["map"][row["seeds"].index(0)])


def test_real_n_mnist_recordings_are_found(nmnist_folder: Path) -> None:
    """And the network on grids is the integer network."""
    found = held_out_figures(load_checkpoint(ROOT / "checkpoints" / "nmnist.pt"), nmnist_folder)
    assert found["float"] == found["integer"]
    assert found["integer"].mean_average_precision == pytest.approx(stated("nmnist"), abs=1e-6)
    assert found["integer"].mean_average_precision > 0.97
