"""A spiking network on neuromorphic cores: what its events cost, whatever the way in which time passes there."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from deploy.energy.amounts import exact
from deploy.energy.ann_network import AnnNetwork
from deploy.energy.assessment import SPIKING, Assessment, Refusal, latency_refusals, standing, without_figures
from deploy.energy.bill import WHOLE_NETWORK, Charge
from deploy.energy.latency import Latency, unstated
from deploy.energy.mapping.limits import missing_limits
from deploy.energy.mapping.place import place
from deploy.energy.mapping.placement import Fit, Placement
from deploy.energy.mapping.traffic import Traffic, bounded_traffic, counted_traffic
from deploy.energy.mapping.uniform import place_counts
from deploy.energy.roofline import ann_work, assess_dense, runs_dense
from deploy.energy.stepped import billed_steps
from export.synaptic.counts import LayerCounts, NetworkCounts
from export.synaptic.populations import SynapseNetwork
from hardware_profiles.loader import LoadedProfile
from hardware_profiles.schema import Profile

_NO_ANN = {
    False: "the platform has no multiply-accumulate on activations",
    True: "the platform can run it, but nobody has published what it costs there",
}
LatencyModel = Callable[[Profile, NetworkCounts, Placement, Traffic], Latency]


def assess_on_cores(
    loaded: LoadedProfile,
    counts: NetworkCounts,
    networks: Sequence[AnnNetwork],
    synapses: SynapseNetwork | None,
    latency_of: LatencyModel,
) -> Assessment:
    """Place the network, time it with ``latency_of``, and price its events.

    No energy for a network that does not fit. An ANN is billed where the cores have arithmetic units whose rate and
    power are published; most cores add weights and cannot multiply.
    """
    profile = loaded.profile
    fit = fit_network(profile, counts, synapses)
    dense = _dense(loaded, counts, networks)
    if fit.verdict == "no" or fit.placement is None:
        return replace(dense, fit=fit, refusals=(_unplaced(fit, profile), *dense.refusals))
    placement = fit.placement
    if synapses is not None and placement.core_of:
        traffic = counted_traffic(counts, synapses, placement)
    else:
        traffic = bounded_traffic(counts, placement)
    latency = latency_of(profile, counts, placement, traffic)
    charges = dynamic_charges(counts, traffic, placement.chips, billed_steps(counts, profile.meta.execution))
    scenarios = standing(profile, SPIKING, "", charges, latency, placement.chips, counts.window_us)
    latencies = {SPIKING: latency, **dense.latencies}
    refusals = (*latency_refusals(latencies), *dense.refusals)
    return without_figures(Assessment(loaded, fit, latencies, (*scenarios, *dense.scenarios), (), refusals))


def _dense(loaded: LoadedProfile, counts: NetworkCounts, networks: Sequence[AnnNetwork]) -> Assessment:
    profile = loaded.profile
    if runs_dense(profile):
        return assess_dense(loaded, [ann_work(profile, network) for network in networks], counts)
    refusals = tuple(Refusal(network.label, _NO_ANN[profile.support.dense]) for network in networks)
    return Assessment(loaded, None, {}, (), (), refusals)


def fit_network(profile: Profile, counts: NetworkCounts, synapses: SynapseNetwork | None = None) -> Fit:
    """Place a network on a platform of cores: synapse by synapse where they are at hand, else by its counts.

    Counts are enough where a core holds one population, or where they alone show that a limit breaks.
    """
    if missing_limits(profile.limits):
        return Fit((), None)
    fit = place_counts(counts.layers, profile)
    one_each = profile.limits.populations is not None
    return fit if synapses is None or one_each or fit.broken else place(synapses, profile)


def _unplaced(fit: Fit, profile: Profile) -> Refusal:
    if fit.broken:
        return Refusal(SPIKING, "does not fit", fit.broken)
    return Refusal(SPIKING, f"cannot be placed: {unstated(', '.join(missing_limits(profile.limits)))}")


def dynamic_charges(counts: NetworkCounts, traffic: Traffic, chips: int, steps: int) -> list[Charge]:
    """Everything that is paid per event.

    ``SOP e_syn + N_active e_active + N_inactive e_inactive + S e_spike + P e_packet + H e_hop`` per population, plus
    the packets that cross chips and the reset of every chip between two recordings. The price of a synaptic operation
    includes its memory; the neurons of a core are swept in every one of ``steps``, hence the inactive updates.
    """
    charges = [charge for layer in counts.layers if layer.kind != "input" for charge in _population(layer, steps)]
    charges += [charge for layer in counts.layers for charge in _routed(layer, traffic)]
    crossings = sum(traffic.crossings.values(), exact(0.0))
    crossing = Charge("spike traffic", WHOLE_NETWORK, "energy.chip_crossing", crossings, scales=True)
    return [*charges, crossing, Charge("reset", WHOLE_NETWORK, "energy.reset", exact(chips))]


def _population(layer: LayerCounts, steps: int) -> list[Charge]:
    return [
        Charge("synaptic operations", layer.layer, "energy.synop", exact(layer.synops), scales=True),
        Charge("neuron updates", layer.layer, "energy.neuron_update_active", exact(layer.active_updates)),
        Charge("neuron updates", layer.layer, "energy.neuron_update_inactive", exact(layer.inactive_updates(steps))),
        Charge("spike traffic", layer.layer, "energy.spike_out", exact(layer.spikes), scales=True),
        *_attention(layer),
    ]


def _routed(layer: LayerCounts, traffic: Traffic) -> Iterator[Charge]:
    hops = traffic.hops[layer.name] if traffic.hops else None
    packets = traffic.packets[layer.name]
    yield Charge("spike traffic", layer.layer, "energy.packet", packets, scales=True)
    if hops is not None or packets.any():
        yield Charge("spike traffic", layer.layer, "energy.hop", hops, scales=True)


def _attention(layer: LayerCounts) -> list[Charge]:
    """Products of two spikes, on platforms that can form them."""
    if layer.ands is None or layer.adds is None:
        return []
    return [
        Charge("synaptic operations", layer.layer, "energy.and_popcount", exact(layer.ands), scales=True),
        Charge("synaptic operations", layer.layer, "energy.synop", exact(layer.adds), scales=True),
    ]
