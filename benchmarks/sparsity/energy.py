"""Energy of a code on several platforms: of a sparse encoder and of the twins beside it."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import nn

from deploy.energy.accelerator import Schedule, ann_charges
from deploy.energy.ann_network import AnnNetwork
from deploy.energy.bill import make_bill
from deploy.energy.clocked import SCHEDULE_LABELS
from deploy.energy.networks.baselines import ann_twin, qnn_twin, sparse_twin
from deploy.report.build import Inputs, build_report
from deploy.report.model import Platform
from export.encoder.forms import Attentions, Biases, Streams
from export.encoder.network import Network
from export.nir.to_nir import export_nir
from export.synaptic.counted import read_network
from export.synaptic.counting import trace_counts
from hardware_profiles.loader import load_profile, load_profiles
from training.config import EncoderConfig


class Lowering(TypedDict):
    """Options of ``export_nir``."""

    streams: Streams
    biases: Biases
    attention: Attentions


CORES = ("loihi1", "darwin3")
"""Neither has graded spikes: what is placed there copies its streams."""
CHEAPEST: Lowering = {"streams": "shared", "biases": "neurons", "attention": "product"}
ACCELERATORS = ("cmos_7nm", "cmos_45nm")
BASES: tuple[Schedule, ...] = ("all steps", "per operation")
WINDOW_US = 3e5
"""Of a recording: three saccades. No figure here holds standing power over the whole window."""

Energies = dict[str, float]
"""Nominal joules of a code, by platform; on accelerators by platform and schedule. None prices every term: static power
of the accelerators and what Darwin3 and Loihi 1 do beside synaptic operations are unpublished in part."""


def spiking_energies(network: Network, frames: NDArray[np.uint8]) -> tuple[Energies, float]:
    """Energies of ``network``, and operations of the graph that takes the fewest: with all that NIR's sums can share.

    Args:
        frames: (B, T, 2, H, W) of the recordings that are traced.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.nir"
        export_nir(network, path)
        counts, synapses = trace_counts(path, frames, WINDOW_US), read_network(path)
        export_nir(network, path, **CHEAPEST)
        fewest = trace_counts(path, frames, WINDOW_US)
    profiles = load_profiles(",".join((*CORES, *ACCELERATORS)))
    report = build_report(Inputs(counts, profiles, synapses=synapses))
    found: Energies = {}
    for platform in report.platforms:
        if platform.id in ACCELERATORS:
            found |= {f"{platform.id} {name}": _on_basis(platform, SCHEDULE_LABELS[name]) for name in BASES}
        elif platform.spiking is not None:
            found[platform.id] = platform.spiking.shown_j
    return found, sum(float(layer.synops.mean()) for layer in fewest.layers)


def _on_basis(platform: Platform, basis: str) -> float:
    return next(each.energy_j[1] for each in platform.bills if each.basis == basis)


def twin_energies(twin: AnnNetwork) -> Energies:
    """Energies of a conventional network on the accelerators."""
    profiles = {name: load_profile(name).profile for name in ACCELERATORS}
    return {
        f"{name} {basis}": float(make_bill(profile, ann_charges(profile, twin, basis)).total.nominal)
        for name, profile in profiles.items()
        for basis in BASES
    }


def dense_qnn(config: EncoderConfig) -> AnnNetwork:
    """The QNN twin, all of its weights."""
    return qnn_twin(ann_twin(config, 1), config.time_steps)


def pruned_qnn(config: EncoderConfig, trained: nn.Module) -> AnnNetwork:
    """The QNN twin on hardware that neither stores nor multiplies zero weights, and pays nothing for finding them."""
    dense = dense_qnn(config)
    left = {
        name: float((module.weight != 0).double().mean())
        for name, module in trained.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    layers = tuple(
        replace(layer, macs=round(layer.macs * share), weights=round(layer.weights * share))
        for layer in dense.layers
        for share in (left.get(layer.name, 1.0),)
    )
    return replace(dense, label="QNN twin, pruned", layers=layers)


def zeros_skipped(config: EncoderConfig, zero_share: Mapping[str, float]) -> AnnNetwork:
    """The int8 twin on hardware that multiplies no zero activation; ``zero_share`` was measured on the trained twin."""
    return sparse_twin(config, ann_twin(config, 1), zero_share, "the trained twin")
