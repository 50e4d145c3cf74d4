"""Energies on the page of sparse encoders: what each kind of network is billed for."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.sparsity.energy import dense_qnn, pruned_qnn, spiking_energies, twin_energies, zeros_skipped
from deploy.energy.networks.module import ACTIVATIONS
from export.encoder.network import build_network
from hardware_profiles.loader import load_profile
from tests.networks import SMALL, calibrated, random_frames
from training.baselines.activations import activation_sparsity
from training.baselines.twin import AnnTwin


@pytest.fixture(scope="module")
def twin() -> AnnTwin:
    torch.manual_seed(0)
    return AnnTwin(SMALL, 1).eval()


def test_a_pruned_twin_computes_and_stores_what_is_left(twin: AnnTwin) -> None:
    dense = dense_qnn(SMALL)
    layer = twin.stages[0].blocks[0].mlp.expand.conv
    assert isinstance(layer, nn.Conv2d)
    with torch.no_grad():
        layer.weight[: len(layer.weight) // 2] = 0
    pruned = pruned_qnn(SMALL, twin)
    changed = [(a, b) for a, b in zip(dense.layers, pruned.layers, strict=True) if a != b]
    ((before, after),) = changed
    assert (after.macs, after.weights) == (before.macs // 2, round(before.weights / 2))
    assert twin_energies(pruned)["cmos_45nm all steps"] < twin_energies(dense)["cmos_45nm all steps"]


def test_skipped_zeros_cost_less(twin: AnnTwin) -> None:
    frames = torch.from_numpy(random_frames(SMALL, 4))
    skipping = zeros_skipped(SMALL, activation_sparsity(twin, ACTIVATIONS, frames))
    assert skipping.effective_macs < skipping.macs
    dense = twin_energies(replace(skipping, density={}))
    assert twin_energies(skipping)["cmos_45nm per operation"] < dense["cmos_45nm per operation"]


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
def test_a_spiking_network_has_a_figure_on_each_platform() -> None:
    network = build_network(calibrated(SMALL))
    frames = random_frames(SMALL, 3)
    energies, operations = spiking_energies(network, frames)
    assert set(energies) >= {"loihi1", "darwin3", "cmos_7nm all steps", "cmos_45nm per operation"}
    pj = load_profile("darwin3").profile.energy["synop"][0].value
    assert energies["darwin3"] > 1e-12 * pj * operations > 0  # it has no graded spikes: copied maps are more operations
    assert min(energies.values()) > 0
