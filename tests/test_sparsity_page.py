"""The page of mAP over operations: what is planned, how twins are counted, and that it shows what was measured."""

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.results.plan import DATASETS, DatasetName
from benchmarks.sparsity.page import HEAD, against_twins, draw, markdown, rows, spread
from benchmarks.sparsity.plan import BUDGETS, PRUNED, RECIPE, SEEDED, Job, planned
from benchmarks.sparsity.twins import attention_products, multiplications, nonzero_weights
from tests.networks import SMALL, random_frames
from training.baselines.quantised import quantise
from training.baselines.twin import AnnTwin
from training.config import Config, load_config
from training.sparsity.pruning import Pruning

ROOT = Path(__file__).parents[1]


def test_every_budget_is_planned_once_and_those_that_matter_with_all_seeds() -> None:
    jobs = planned(DATASETS)
    assert len({job.key for job in jobs}) == len({(job.name, job.dataset, job.seed) for job in jobs}) == len(jobs) == 30
    for dataset in DATASETS:
        own = [job for job in jobs if job.dataset == dataset and job.weight_bits == 8]
        assert {job.budget for job in own if job.half} == set(BUDGETS[dataset])
        assert sorted((job.budget, job.seed) for job in own if not job.half) == [
            (budget, seed) for budget in sorted(SEEDED[dataset]) for seed in (0, 1, 2)
        ]


def test_both_trainings_of_a_job(tmp_path: Path) -> None:
    dense = ROOT / "checkpoints" / "dense" / "digits.pt"
    first, second = Job("digits", 1.8e6, 1).configs(dense, tmp_path, None)
    assert not first.train.quantise
    assert second.train.quantise
    assert (second.train.start, second.sparsity.operations) == (tmp_path / "last.pt", 1.8e6)
    assert first.encoder == second.encoder
    assert first.encoder.time_steps == 4


def beside_configs(config: Config) -> Config:
    """``config`` read from a file in ``configs``: what is not there yet is expected beside it."""
    folder, data, start = ROOT / "configs", config.data, config.train.start
    root = None if data.root is None else folder / data.root
    assert start is not None
    train = config.train.model_copy(update={"start": start if start.exists() else folder / start})
    return config.model_copy(update={"data": data.model_copy(update={"root": root}), "train": train})


@pytest.mark.parametrize("dataset", DATASETS)
def test_shipped_configs_are_those_of_the_budget_that_matters_most(dataset: DatasetName) -> None:
    folder = Path("runs") / f"{dataset}-sparse"
    nmnist = Path("data") if dataset == "nmnist" else None
    planned = Job(dataset, SEEDED[dataset][0], 0).configs(
        Path("checkpoints") / "dense" / f"{dataset}.pt", folder, nmnist
    )
    for name, config in zip((f"{dataset}-sparse", f"{dataset}-sparse-grids"), planned, strict=True):
        assert load_config(ROOT / "configs" / f"{name}.toml") == beside_configs(config)


def by_hand(channels: list[int], hidden: int, bits: int) -> int:
    """Multiply-accumulates of the twin of SMALL, whose maps have 8x8, 4x4 and 2x2 pixels, border taps left out."""
    one, two, three = channels
    total = 0
    for size, inputs, outputs in ((16, 2, one), (8, one, two), (4, two, three)):
        taps = (3 * (size // 2) - 1) ** 2  # of a 3x3 kernel in steps of 2, the first row and column meet the border
        total += taps * inputs * outputs
    for pixels, each in ((64, one), (16, two), (4, three)):
        total += 2 * pixels * each * each * hidden
    total += 64 * one * 2 * 16 + 16 * two * 2 * 4  # blocks of 4x4 and 2x2 pixels, groups of two channels
    return total + 4 * three * 4 * three + three * bits


def test_multiplications_of_a_twin_are_those_counted_by_hand() -> None:
    torch.manual_seed(0)
    twin, frames = AnnTwin(SMALL, 1), torch.from_numpy(random_frames(SMALL, 3))
    counted = multiplications(twin, frames, skip_zeros=False)
    assert counted == by_hand(list(SMALL.channels), SMALL.mlp_ratio, SMALL.bits)
    assert attention_products(SMALL) == 2 * 4 * 4 * 8
    assert 0 < multiplications(twin, frames, skip_zeros=True) < counted
    assert multiplications(twin, torch.zeros_like(frames), skip_zeros=False) == counted


def test_a_pruned_twin_has_half_of_its_weights() -> None:
    torch.manual_seed(0)
    twin, frames = AnnTwin(SMALL, 1), torch.from_numpy(random_frames(SMALL, 3))
    quantise(twin, 4, frames)
    weights, counted = nonzero_weights(twin), multiplications(twin, frames, skip_zeros=False)
    pruning = Pruning(twin, PRUNED, 0.0, 20)
    for _ in range(20):
        pruning.before_step()
    stem, fusions = 2 * 4 * 9, 15 * 2 * 4 + 8 * 4 * 4
    assert nonzero_weights(twin) == pytest.approx(stem + fusions + (weights - stem - fusions) / 2, rel=0.1)
    assert multiplications(twin, frames, skip_zeros=False) < 0.8 * counted


def test_the_page_shows_what_was_measured_and_nothing_else(tmp_path: Path) -> None:
    spiking = {"dataset": "digits", "name": "small budget", "spiking": True, "lowered": 2.2e6, "weights": 1000}
    records = [
        spiking | {"seed": seed, "map": 0.96 + seed / 100, "validation": 0.97, "natural": 1.7e6} for seed in (1, 0)
    ]
    for each in records:
        each["energy"] = {"cmos_7nm all steps": (1 + each["seed"]) * 1e-6, "loihi1": 2e-3}
    twin = {"dataset": "digits", "name": "QNN", "spiking": False, "seed": 0, "map": 0.95, "validation": 0.96}
    table = rows([*records, twin | {"natural": 5.1e6}])
    assert [row["map"] for row in table] == [[0.96, 0.97], [0.95]]
    page = markdown(table, HEAD.format(date="today", hardware="here", **RECIPE))
    assert "56 epochs from the dense checkpoint, its batch normalisation unfolded, in 4 time steps" in page
    assert "50% of the weights" in page
    assert (
        "| small budget | 0.9650 (0.9600 to 0.9700) | 0.9700 | 1.70 | 2.20 | 1.50 (1.00 to 2.00) | 2.00 | 1,000 |"
        in page
    )
    assert "| QNN | 0.9500 | 0.9600 | 5.10 |  |  |  |  |" in page
    assert "certificate" not in page
    assert "N-MNIST" not in page
    draw(table, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert spread([None], 1, 2) == ""


def test_networks_of_all_seeds_stand_beside_their_twins() -> None:
    def record(name: str, seed: int, spiking: bool, found: float, joules: float) -> dict[str, Any]:
        energy = {"cmos_7nm all steps": joules, "cmos_7nm per operation": 4 * joules}
        return {"dataset": "digits", "name": name, "seed": seed, "spiking": spiking, "map": found, "energy": energy}

    seeds = [record("Spikinghash", seed, True, 0.95 + seed / 100, 3e-6) for seed in range(3)]
    twin, alone = record("QNN", 0, False, 0.98, 4e-6), record("one seed", 0, True, 0.9, 1e-6)
    page = against_twins(rows([*seeds, twin, alone]))
    assert page.splitlines()[-1] == "| digits | Spikinghash | QNN | -2.0 | 0.75 | 0.75 |"
    assert "one seed" not in page
    assert not against_twins(rows([twin, alone]))
