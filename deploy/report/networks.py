"""The networks of a report: the traced one, layer by layer, and the conventional ones that it is compared with."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from deploy.energy.ann_network import AnnNetwork
from deploy.energy.ann_twin import Sizes, ann_twin, qnn_twin, sparse_twin
from deploy.energy.model import SPIKING, spikes_per_synapse
from deploy.energy.resnet import resnet18
from deploy.report.results import SPIKING_KIND, Retrieval, Selection
from export.synaptic.counts import LayerCounts, NetworkCounts

_HELPERS = ("delay", "threshold", "counter")


def baselines(sizes: Sizes, selection: Selection | None, source: str) -> Iterator[AnnNetwork]:
    """Conventional networks with codes of the same length, those of measured sparsity only where it was measured.

    Args:
        sizes: of the encoder.
        selection: trained networks, whose sparsity the int8 twin takes over.
        source: file of ``selection``; named in messages.
    """
    for frames in dict.fromkeys((1, sizes.time_steps)):
        yield ann_twin(sizes, frames)
    yield qnn_twin(sizes)
    if selection and selection.zero_share:
        yield sparse_twin(sizes, selection.zero_share, source)
    yield resnet18(sizes.size, sizes.time_steps, sizes.bits)


def kinds_by_label(networks: Sequence[AnnNetwork]) -> dict[str, str]:
    """Kind of every priced network, the spiking one first."""
    return {SPIKING: SPIKING_KIND, **{network.label: network.kind for network in networks}}


def retrieval_values(retrieval: Retrieval) -> dict[str, Any]:
    """One trained network's mAP, with the lowest and the highest of its seeds."""
    values = retrieval.values
    return {
        "name": retrieval.name,
        "mean": retrieval.mean,
        "low": min(values),
        "high": max(values),
        "seeds": len(values),
    }


def network_values(counts: NetworkCounts, bits: int | None) -> dict[str, Any]:
    """Sizes of the spiking network and its activity, mean over the recordings."""
    return {
        "id": counts.network,
        "bits": bits,
        "recordings": counts.samples,
        "time_steps": counts.time_steps,
        "steps": counts.steps,
        "latency_steps": counts.latency,
        "window_s": counts.window_us * 1e-6,
        "neurons": sum(layer.neurons for layer in counts.layers if layer.kind != "input"),
        "synapses": sum(layer.synapses for layer in counts.layers),
        "weights": sum(layer.weights for layer in counts.layers),
        "synops": sum(float(layer.synops.mean()) for layer in counts.layers),
        "spikes": sum(float(layer.spikes.mean()) for layer in counts.layers),
        "spikes_per_synapse": spikes_per_synapse(counts),
    }


def layer_values(counts: NetworkCounts) -> list[dict[str, Any]]:
    """Populations grouped by the encoder's layer, in order of first appearance."""
    order = list(dict.fromkeys(layer.layer for layer in counts.layers))
    ordered = sorted(counts.layers, key=lambda layer: order.index(layer.layer))
    return [_layer(name, list(group)) for name, group in groupby(ordered, key=lambda layer: layer.layer)]


def _layer(name: str, group: list[LayerCounts]) -> dict[str, Any]:
    updates = sum(layer.neurons * layer.steps for layer in group)
    synops = np.sum([layer.synops for layer in group], axis=0)
    helpers = sum(float(layer.synops.mean()) for layer in group if layer.kind in _HELPERS)
    return {
        "layer": name,
        "populations": len(group),
        "neurons": sum(layer.neurons for layer in group),
        "synapses": sum(layer.synapses for layer in group),
        "weights": sum(layer.weights for layer in group),
        "fan_in_max": max(layer.fan_in_max for layer in group),
        "spikes": sum(float(layer.spikes.mean()) for layer in group),
        "synops": {"mean": float(synops.mean()), "p5_p95": np.percentile(synops, (5, 95)).tolist()},
        "helper_synops_share": helpers / float(synops.mean()) if synops.any() else 0.0,
        "active_share": sum(float(layer.active_updates.mean()) for layer in group) / updates,
    }


def baseline_values(network: AnnNetwork) -> dict[str, Any]:
    """Operations of a conventional network, layer by layer."""
    layers = [
        {
            "layer": layer.name,
            "macs": layer.macs,
            "transform_adds": layer.transform_adds,
            "weight_bytes": layer.weight_bytes,
            "activation_bytes": layer.activation_bytes(network.frames) * network.activation_bits // 8,
            "density": network.density.get(layer.name, 1.0),
        }
        for layer in network.layers
    ]
    return {
        "network": network.label,
        "kind": network.kind,
        "frames": network.frames,
        "activation_bits": network.activation_bits,
        "macs": network.macs,
        "effective_macs": float(network.effective_macs),
        "weights": network.weights,
        "layers": layers,
    }
