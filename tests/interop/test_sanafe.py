"""SANA-FE's Loihi as a second opinion: two encoders on the cores that our placement chose, spike by spike.

SANA-FE (Boyle et al. 2025, doi 10.1109/TCAD.2025.3537971) simulates every message of the chip; its prices of Loihi are
those that the profile cites as ``sanafe2025``. Both sides get the same spikes, the same cores and the same number of
steps; the model of ``deploy.energy`` gets SANA-FE's prices alone. What is left between them is how each bills.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from networks import DEEP, SMALL, calibrated, random_frames

from deploy.backends.worker import ROOT
from deploy.energy.amounts import mean
from deploy.energy.bill import make_bill
from deploy.energy.event_cores import dynamic_charges
from deploy.energy.mapping.place import place
from deploy.energy.mapping.placement import Placement
from deploy.energy.mapping.traffic import Traffic, counted_traffic
from deploy.energy.timestep_barrier import barrier_latency
from export.encoder.network import build_network as integer_network
from export.nir.interpreter import Interpreter
from export.nir.metadata import read_encoder
from export.nir.to_nir import export_nir
from export.nir.trace import input_spikes
from export.synaptic.counted import build_network
from export.synaptic.counting import trace_counts
from export.synaptic.counts import LayerCounts, NetworkCounts
from export.synaptic.populations import SynapseNetwork
from hardware_profiles.loader import load_profile
from hardware_profiles.schema import Profile
from tests.interop.environment import foreign_interpreter
from training.config import EncoderConfig

INTERPRETER = foreign_interpreter("sanafe")

REPLAY = Path(__file__).with_name("sanafe_replay.py")
WITHIN = 0.15


def prices_of_sanafe() -> Profile:
    """Loihi with the prices that SANA-FE uses for dense synapses, and no others where it has any."""
    profile = load_profile("loihi1").profile
    chosen = {}
    for section in ("energy", "time"):
        chosen[section] = {
            term: tuple(
                one
                for one in estimates
                if one.source == "sanafe2025" and "sparse" not in one.note and "convolution" not in one.note
            )
            or estimates
            for term, estimates in getattr(profile, section).items()
        }
    return profile.model_copy(update=chosen)


@dataclass(frozen=True)
class Case:
    """One recording of one encoder, placed."""

    counts: NetworkCounts
    network: SynapseNetwork
    placement: Placement
    raster: np.ndarray
    """(machine steps, neurons) spikes of all populations, in the order of the counts, each in the step it is sent."""

    @cached_property
    def traffic(self) -> Traffic:
        return counted_traffic(self.counts, self.network, self.placement)

    def arrays(self) -> dict[str, np.ndarray]:
        """What the replay reads."""
        core_of = self.placement.core_of
        names = [layer.name for layer in self.counts.layers]
        sizes = [self.network.by_name[name].neurons for name in names]
        starts = dict(zip(names, np.cumsum([0, *sizes]), strict=False))
        cores = [core_of.get(name, np.full(size, -1)) for name, size in zip(names, sizes, strict=True)]
        ends = []
        for projection in self.network.projections:
            if projection.target in core_of:
                pairs = projection.weights.tocoo()
                ends.append(np.stack([pairs.col + starts[projection.source], pairs.row + starts[projection.target]]))
        source, target = np.concatenate(ends, axis=1)
        first = np.array(self.placement.cores)
        return {
            "core": np.concatenate(cores),
            "raster": self.raster,
            "source": source,
            "target": target,
            "first": first,
        }


def placed(config: EncoderConfig, folder: Path) -> Case:
    path = folder / "encoder.nir"
    export_nir(integer_network(calibrated(config)), path, "portable")
    frames = random_frames(config, 1)
    counts = trace_counts(path, frames, 3e5)
    graph, metadata = read_encoder(path)
    network = build_network(graph, metadata.serves)
    names = [layer.name for layer in counts.layers]
    _, recorded = Interpreter(graph, metadata.dt).run(input_spikes(frames, metadata), record=names)
    raster = np.concatenate([machine_steps(counts, layer, recorded[layer.name][0]) for layer in counts.layers], axis=1)
    placement = place(network, load_profile("loihi1").profile).placement
    assert placement is not None
    return Case(counts, network, placement, raster)


def machine_steps(counts: NetworkCounts, layer: LayerCounts, spikes: np.ndarray) -> np.ndarray:
    """(machine steps, neurons): where every hop takes a step, a population lags behind the graph's own time."""
    raster = np.zeros((counts.machine_steps, layer.neurons), bool)
    raster[layer.lag :: counts.pace][: len(spikes)] = spikes.reshape(len(spikes), -1) != 0
    return raster


@pytest.mark.timeout(600)
@pytest.mark.parametrize("config", [SMALL, DEEP], ids=["small", "deep"])
def test_the_model_and_sana_fe_bill_the_same_spikes_alike(config: EncoderConfig, tmp_path: Path) -> None:
    case, profile = placed(config, tmp_path), prices_of_sanafe()
    np.savez(tmp_path / "in.npz", **case.arrays())
    command = [INTERPRETER, REPLAY, tmp_path / "in.npz", tmp_path / "out.json"]
    subprocess.run(command, check=True, timeout=500, env={**os.environ, "PYTHONPATH": str(ROOT)})
    found = json.loads((tmp_path / "out.json").read_text())

    assert found["spikes"] == sum(layer.synops.sum() for layer in case.counts.layers)
    assert found["packets_sent"] == pytest.approx(sum(mean(each).nominal for each in case.traffic.packets.values()))
    assert found["neurons_fired"] == case.raster.sum()

    charges = dynamic_charges(case.counts, case.traffic, case.placement.chips, len(case.raster))
    bill = make_bill(profile, [charge for charge in charges if charge.term != "energy.reset"])
    assert bill.complete
    assert bill.of_term("energy.synop").nominal == pytest.approx(found["energy"]["synapse"], rel=1e-6)
    assert bill.total.nominal == pytest.approx(found["energy"]["total"], rel=WITHIN)
    latency = barrier_latency(profile, case.counts, case.placement, case.traffic)
    assert latency.busy is not None
    assert latency.steps == len(case.raster)
    assert mean(latency.busy).nominal == pytest.approx(found["sim_time"], rel=WITHIN)
