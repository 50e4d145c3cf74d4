"""What is trained for the results table: order, dependence, resumption, and a quantised twin on real frames."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.results import jobs, plan
from benchmarks.results.jobs import run_job
from benchmarks.results.plan import BITS, DATASETS, NETWORKS, Job, Network, stages
from training.config import Config
from training.data.frames import Dataset
from training.data.splits import Split, split
from training.loss import SoftSimilarity


@given(st.lists(st.sampled_from(NETWORKS), min_size=1, unique=True), st.sampled_from([DATASETS[:1], DATASETS]))
def test_a_job_comes_after_the_one_that_it_starts_from(
    networks: list[Network], datasets: tuple[plan.DatasetName, ...]
) -> None:
    done: set[Job] = set()
    for stage in stages(networks, datasets, [0, 2]):
        assert stage
        assert done.isdisjoint(stage)
        assert all(job.start is None or job.start in done for job in stage)
        done.update(stage)
    asked = {Job(n, d, bits, seed) for n in networks for d in datasets for bits in BITS for seed in (0, 2)}
    assert asked <= done
    assert {job.network for job in done - asked} <= {"ann_twin_1"}


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("network", ["int8_twin", "qnn"])
def test_quantised_twins_start_from_the_twin_that_learned_the_same(network: Network, dataset: plan.DatasetName) -> None:
    for bits in BITS:
        job = Job(network, dataset, bits, 1)
        assert job.start == Job("ann_twin_1", dataset, bits, 1)
        config, first = job.config(None), job.start.config(None)
        assert (config.data, config.encoder) == (first.data, first.encoder)
        assert config.train.quantise
        anew = Job("ann_twin_1", dataset, BITS[0], 1).config(None)
        assert config.train.learning_rate < anew.train.learning_rate / 2
        assert config.train.learning_rate <= first.train.learning_rate


def bars_in_the_tables_sizes(config: Config) -> tuple[Dataset, Split]:
    """Bars that lie or stand, in the table's sizes."""
    generator = np.random.default_rng(0)
    labels = np.arange(100) % 2
    frames = (generator.random((100, config.encoder.time_steps, 2, 32, 32)) < 0.02).astype(np.uint8)
    for index, label in enumerate(labels.tolist()):
        rows = generator.choice(16, 5, replace=False) * 2
        frames[index, :, :, rows] = 1
        if label:
            frames[index] = frames[index].swapaxes(-1, -2)
    dataset = Dataset(frames, labels, [str(index) for index in range(100)])
    return dataset, split(labels)


def test_jobs_run_in_a_chain_and_are_not_done_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "load_data", bars_in_the_tables_sizes)
    for network, epochs in (("ann_twin_1", 4), ("qnn", 1)):
        monkeypatch.setitem(plan.SCHEDULES, network, (epochs, plan.SCHEDULES[network][1]))
    threads = torch.get_num_threads()
    for job in Job("qnn", "digits", 32, 0).chain:
        run_job(job, tmp_path, None)
    torch.set_num_threads(threads)
    records = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert set(records) == {"digits-ann_twin_1-32-s0", "digits-qnn-32-s0"}
    twin, qnn = records["digits-ann_twin_1-32-s0"], records["digits-qnn-32-s0"]
    assert qnn["map"]["qnn"] > twin["map"]["ann_twin_1"] - 0.1
    assert 0 < qnn["validation"]["qnn"] <= 1
    assert qnn["similarity"] == pytest.approx(twin["similarity"], abs=2e-3)  # gone on from, not begun anew
    assert abs(twin["similarity"]["alpha"] - SoftSimilarity().learned()["alpha"]) > 0.02
    assert qnn["parameters"] == twin["parameters"] + len(qnn["activation_sparsity"])  # a clip each
    written = (tmp_path / "digits-qnn-32-s0.pt").stat().st_mtime_ns
    run_job(Job("qnn", "digits", 32, 0), tmp_path, None)
    assert (tmp_path / "digits-qnn-32-s0.pt").stat().st_mtime_ns == written
