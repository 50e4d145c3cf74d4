"""The committed checkpoints give the figures that the project states for them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results.tables import link_checkpoints
from deploy.report.results import Weights, read_results, select
from export.encoder.evaluate import held_out, held_out_figures, result_rows
from export.loihi import drift
from tests.commands import Call
from training.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[1]
DENSE = ROOT / "checkpoints" / "dense"
NMNIST = DENSE / "nmnist.pt"


def stated(dataset: str) -> dict[str, Any]:
    """The row of the integer network of 32 bits in docs/results.json."""
    (row,) = (
        row
        for row in json.loads((ROOT / "docs" / "results.json").read_text())
        if (row["dataset"], row["kind"], row["bits"]) == (dataset, "spikinghash_integer", 32)
    )
    return dict(row)


@pytest.mark.parametrize("dataset", ["digits", "nmnist"])
def test_the_committed_seed_is_the_best_on_validation_queries(dataset: str) -> None:
    row, seed = stated(dataset), load_checkpoint(DENSE / f"{dataset}.pt").config.train.seed
    assert row["validation"][row["seeds"].index(seed)] == max(row["validation"])


@pytest.mark.parametrize("dataset", ["digits", "nmnist"])
def test_the_row_of_the_committed_seed_names_its_checkpoint(dataset: str) -> None:
    path = DENSE / f"{dataset}.pt"
    row = stated(dataset)
    (named,) = [seed for seed, digest in zip(row["seeds"], row["checkpoints"], strict=True) if digest]
    assert named == load_checkpoint(path).config.train.seed
    assert row["checkpoints"][row["seeds"].index(named)] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_rows_name_the_published_checkpoints_and_no_others() -> None:
    table = json.loads((ROOT / "docs" / "results.json").read_text())
    assert link_checkpoints(table, DENSE) == table
    changed = [dict(row, validation=[value + 1e-9 for value in row["validation"]]) for row in table]
    assert not any("checkpoints" in row for row in link_checkpoints(changed, DENSE))


@pytest.mark.parametrize("dataset", ["digits", "nmnist"])
def test_the_committed_checkpoint_is_a_sparse_one_with_its_figures(dataset: str) -> None:
    """That of the first seed: none was chosen."""
    table = json.loads((ROOT / "docs" / "sparsity.json").read_text())
    digest = hashlib.sha256((ROOT / "checkpoints" / f"{dataset}.pt").read_bytes()).hexdigest()
    (row,) = (row for row in table if digest in row.get("checkpoints", ()))
    index = row["checkpoints"].index(digest)
    assert row["dataset"] == dataset
    assert row["seeds"] == [0, 1, 2]
    assert row["seeds"][index] == 0
    (dense,) = (each for each in table if each["name"] == "Spikinghash, dense" and each["dataset"] == dataset)
    assert row["natural"][index] < dense["natural"][0] / 4


def test_real_n_mnist_recordings_are_found(nmnist_folder: Path, tmp_path: Path) -> None:
    """And the network on grids is the integer network."""
    checkpoint = load_checkpoint(NMNIST)
    found = held_out_figures(checkpoint, *held_out(checkpoint, nmnist_folder))
    assert found["float"] == found["integer"]
    row = stated("nmnist")
    expected = row["map"][row["seeds"].index(checkpoint.config.train.seed)]
    assert found["integer"].mean_average_precision == pytest.approx(expected, abs=1e-6)
    assert found["integer"].mean_average_precision > 0.97
    rows = tmp_path / "rows.json"
    maps = {name: figures.mean_average_precision for name, figures in found.items()}
    rows.write_text(json.dumps(result_rows(NMNIST, checkpoint.config, maps)))
    digest = hashlib.sha256(NMNIST.read_bytes()).hexdigest()
    selected = select(read_results(rows), Weights(digest, "integer", 32, "", None), "rows.json")
    assert selected.dataset == "nmnist"
    assert [each.own for each in selected.own] == [pytest.approx(expected, abs=1e-6)]


def test_drift_reads_recordings_from_a_folder(call: Call, nmnist_folder: Path) -> None:
    done = call(drift.main, NMNIST, "--samples", 2, "--data", nmnist_folder)
    assert done.code == 0
    assert done.out.splitlines()[-2].split()[1] == "code"


def test_drift_names_the_folder_that_is_not_there(call: Call, tmp_path: Path) -> None:
    done = call(drift.main, NMNIST, "--data", tmp_path / "nowhere")
    assert done.code == 2
    assert "nowhere: no such folder" in done.err
