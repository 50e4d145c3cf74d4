"""Networks in SANA-FE's own arithmetic on its Loihi, spike by spike against the interpreter."""

from pathlib import Path

import nir
import numpy as np
import pytest

from deploy.backends.sanafe.description import Description
from deploy.backends.to_sanafe import write_sanafe
from export.encoder.network import build_network
from export.nir.to_nir import export_nir
from spikinghash.errors import ComparisonError
from tests.interop.environment import foreign_interpreter
from tests.networks import TINY, calibrated
from tests.nir_graphs import DT, built
from tests.test_sanafe_files import mixed, written

foreign_interpreter("sanafe")


@pytest.mark.timeout(300)
def test_neurons_of_all_kinds_and_delays(tmp_path: Path) -> None:
    """``write_sanafe`` compares every spike; ``mixed`` is shown to spike in ``tests/test_sanafe_files.py``."""
    write_sanafe(written(mixed(), tmp_path), tmp_path / "network.yaml", steps=12)


@pytest.mark.timeout(300)
def test_an_encoder_with_its_delays(tmp_path: Path) -> None:
    export_nir(build_network(calibrated(TINY)), tmp_path / "encoder.nir")
    write_sanafe(tmp_path / "encoder.nir", tmp_path / "encoder.yaml")


@pytest.mark.timeout(300)
def test_a_spike_that_its_cut_takes_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Potentials cut to whole numbers: two inputs of weight 1 in turn, halved between, never come to 1.4."""
    one = np.ones(1)
    leaky = nir.LIF(2 * DT * one, 2 * one, 0 * one, 1.4 * one, 0 * one)
    path = written(built({"n": leaky}, "x>n n>y", (1,), (1,), dt=DT), tmp_path)
    write_sanafe(path, tmp_path / "network.yaml", steps=40)
    monkeypatch.setattr(Description, "scale_bits", -6)
    with pytest.raises(ComparisonError, match=r"sanafe: node n: \d+ spikes differ .* nothing was written"):
        write_sanafe(path, tmp_path / "cut.yaml", steps=40)
    assert not (tmp_path / "cut.yaml").exists()
