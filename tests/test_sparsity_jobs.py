"""The jobs of the benchmark from training to page, on bars, with an epoch or two each."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.results import jobs as results_jobs
from benchmarks.sparsity import core, jobs, plan, twins
from benchmarks.sparsity.__main__ import write_page
from benchmarks.sparsity.plan import Job
from tests.test_baselines_plan import bars_in_the_tables_sizes
from training.checkpoint import Checkpoint, save_checkpoint
from training.config import Config
from training.model.encoder import Spikinghash


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars for data, and few epochs."""
    for module in (
        "training.train",
        "training.sparsity.distillation",
        jobs.__name__,
        core.__name__,
        twins.__name__,
        results_jobs.__name__,
    ):
        monkeypatch.setattr(f"{module}.load_data", bars_in_the_tables_sizes)
    for network in plan.TWIN_EPOCHS:
        monkeypatch.setitem(plan.TWIN_EPOCHS, network, 1)
    for name in ("EPOCHS", "GRID_EPOCHS"):
        monkeypatch.setattr(plan, name, 1)
    monkeypatch.setattr(core, "SECONDS", 0.0)
    monkeypatch.setattr(core, "RECORDINGS", 2)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_every_row_of_the_page_is_measured_on_a_network_that_was_trained(quick: None, tmp_path: Path) -> None:
    dense, out = tmp_path / "digits.pt", tmp_path / "out"
    model = Spikinghash(Config().encoder)
    save_checkpoint(dense, Checkpoint(Config(), model.state_dict(), 1, {}))
    out.mkdir()
    jobs.run_dense("digits", dense, out, None)
    jobs.run_job(Job("digits", 5e6, 0), dense, out, None)
    twins.run_twins("digits", 0, out, None)
    core.run_core("digits", 0, dense, out, None)
    times = {each["network"]: each["cpu_ms"] for each in json.loads((out / "digits-core-s0.record.json").read_text())}
    assert set(times) == {
        "Spikinghash, dense",
        "Spikinghash, budget 5 M",
        "ANN twin, float32, ONNX Runtime",
        "ANN twin, int8, ONNX Runtime",
    }
    assert min(times.values()) > 0
    (out / "digits-core-s0.record.json").rename(tmp_path / "times.json")
    records = [record for path in out.glob("*.record.json") for record in json.loads(path.read_text())]
    by_name = {record["name"]: record for record in records}
    assert len(by_name) == 5
    sparse, pruned, qnn = by_name["Spikinghash, budget 5 M"], by_name["QNN twin, pruned"], by_name["QNN twin"]
    assert sparse["natural"] <= sparse["lowered"]
    assert pruned["weights"] < 0.6 * qnn["weights"]
    assert pruned["natural"] < 0.7 * qnn["natural"]
    assert by_name["int8 twin, zeros skipped"]["natural"] < qnn["natural"]
    (tmp_path / "times.json").rename(out / "digits-core-s0.record.json")
    write_page(out, tmp_path, tmp_path)
    page = (tmp_path / "sparsity.md").read_text()
    assert all(f"| {name} |" in page for name in by_name)
    assert f"| ANN twin, int8, ONNX Runtime | {times['ANN twin, int8, ONNX Runtime']:.2f} |" in page
    by_row = {row["name"]: row["cpu_ms"] for row in json.loads((tmp_path / "sparsity.json").read_text())}
    assert by_row["Spikinghash, dense"] == [times["Spikinghash, dense"]]
    assert by_row["QNN twin"] == [min(value for name, value in times.items() if name.startswith("ANN"))]
    assert (tmp_path / "sparsity.png").exists()
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    jobs.run_job(Job("digits", 5e6, 0), dense, out, None)
    twins.run_twins("digits", 0, out, None)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == written
