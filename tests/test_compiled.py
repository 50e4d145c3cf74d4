"""Networks as compiled C on a microcontroller: their instructions, counted by an emulator, priced."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_energy_kinds import network, population

from benchmarks.microcontroller.page import page
from deploy.energy.amounts import mean
from deploy.energy.ann_network import AnnLayer, AnnNetwork
from deploy.energy.assessment import BUSY, SPIKING
from deploy.energy.compiled import Compiled, Program, read_compiled
from deploy.energy.model import assess
from hardware_profiles.loader import load_profile
from spikinghash.errors import ConfigError
from spikinghash.seal import sealed_row

DOCS = Path(__file__).resolve().parents[1] / "docs"
TWIN = AnnNetwork("twin", "qnn", 1, 80, (AnnLayer("conv", 10**6, 0, 0, 100, 10, 10),))
OTHER = replace(TWIN, label="ResNet", kind="resnet18")


def program(flash: int = 300_000) -> Program:
    """An encoder of 8 million instructions beside a twin of 16 million."""
    rows = (("encoder", 8_000_000, flash), ("int8_twin", 16_000_000, 300_000))
    return {
        kind: Compiled(
            checkpoint_sha256="a",
            profile="cortex_m7",
            kind=kind,
            flash_bytes=size,
            ram_bytes=90_000,
            instructions=count,
        )
        for kind, count, size in rows
    }


def test_instructions_over_their_rate_times_the_power() -> None:
    """314 and 368 million per second, 146 to 162.7 mW; nominal: the median of the rates, of the four powers."""
    found = assess(load_profile("cortex_m7"), network(population("lif", 10)), [TWIN, OTHER], program=program())
    for name, instructions in ((SPIKING, 8e6), ("twin", 16e6)):
        latency = found.latencies[name]
        assert latency.busy is not None
        seconds = instructions / 368e6, instructions / 341e6, instructions / 314e6
        assert mean(latency.busy).corners == pytest.approx(seconds)
        assert latency.kind == "derived"
        (bill,) = [each.bill for each in found.scenarios if (each.network, each.basis) == (name, BUSY)]
        assert bill.complete
        assert bill.total.corners == pytest.approx(np.array(seconds) * (0.146, 0.159, 0.1627))
    (refusal,) = [each for each in found.refusals if each.subject == "ResNet"]
    assert "instructions were not counted" in refusal.reason


def test_without_counts_the_twin_is_billed_by_its_multiply_accumulates() -> None:
    found = assess(load_profile("cortex_m7"), network(population("lif", 10)), [TWIN])
    busy = found.latencies["twin"].busy
    assert busy is not None
    assert mean(busy).nominal == pytest.approx(2e6 / 317e6)


def test_a_program_that_is_too_large_is_refused() -> None:
    found = assess(load_profile("cortex_m7"), network(population("lif", 10)), [TWIN], program=program(3_000_000))
    assert str(found.refusals[0]) == "SNN: does not fit: weight memory bytes: needs 3,000,000, has 2,097,152"
    assert {each.network for each in found.scenarios} == {"twin"}


def test_counts_belong_to_a_checkpoint(tmp_path: Path) -> None:
    rows = [each.model_dump() for each in program().values()]
    path = tmp_path / "counts.json"
    path.write_text(json.dumps([*map(sealed_row, rows)]))
    assert read_compiled(path, "a") == {"cortex_m7": program()}
    assert read_compiled(path, "b") == read_compiled(path, "") == {}
    path.write_text(json.dumps([{"kind": "encoder"}]))
    with pytest.raises(ConfigError, match=r"counts\.json: no figures of benchmarks\.microcontroller: "):
        read_compiled(path, "a")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_compiled(tmp_path / "none.json", "a")


def test_the_committed_counts_are_of_the_committed_checkpoints() -> None:
    """And the page has them."""
    for name in ("digits", "nmnist"):
        sha256 = hashlib.sha256((DOCS.parent / "checkpoints" / f"{name}.pt").read_bytes()).hexdigest()
        found = read_compiled(DOCS / "microcontroller.json", sha256)
        assert set(found) == {"cortex_m4", "cortex_m7", "cortex_m55"}
        for profile in ("cortex_m4", "cortex_m7"):
            assert found[profile]["encoder"].instructions < found[profile]["int8_twin"].instructions
        for each in found.values():
            assert each["encoder"].flash_bytes < 512 * 1024
            assert each["encoder"].ram_bytes + each["encoder"].stack_bytes < 256 * 1024
            assert 0 < each["encoder"].stack_bytes < 4096
    rows = json.loads((DOCS / "microcontroller.json").read_text())
    assert (DOCS / "microcontroller.md").read_text() == page(rows)
