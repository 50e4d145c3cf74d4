"""A spiking network on neuromorphic cores: what its events cost, whatever the way in which time passes there."""

from collections.abc import Callable, Sequence

from deploy.energy.amounts import exact
from deploy.energy.ann_network import AnnNetwork
from deploy.energy.assessment import SPIKING, Assessment, latency_refusals, standing, without_figures
from deploy.energy.bill import WHOLE_NETWORK, Charge
from deploy.energy.capacity import fit_network, missing_limits
from deploy.energy.latency import Latency
from deploy.energy.layout import Layout, Routed, bounded_layout, counted_layout
from deploy.energy.placement import Fit
from export.synaptic.counts import LayerCounts, NetworkCounts
from export.synaptic.populations import SynapseNetwork
from hardware_profiles.loader import LoadedProfile
from hardware_profiles.schema import Limits, Profile

_NO_ANN = {
    False: "the platform has no multiply-accumulate on activations",
    True: "the platform can run it, but nobody has published what it costs there",
}
LatencyModel = Callable[[Profile, NetworkCounts, Layout], Latency]


def assess_on_cores(
    loaded: LoadedProfile,
    counts: NetworkCounts,
    networks: Sequence[AnnNetwork],
    synapses: SynapseNetwork | None,
    latency_of: LatencyModel,
) -> Assessment:
    """Place the network, time it with ``latency_of``, and price its events.

    No energy for a network that does not fit, and none for an ANN: most such cores add weights and cannot multiply.
    """
    profile = loaded.profile
    fits, mapping = fit_network(profile, counts, synapses)
    reason = _NO_ANN[profile.support.dense]
    refusals = [f"{network.label}: {reason}" for network in networks]
    if fits.verdict == "no" or fits.placement is None:
        return Assessment(loaded, fits, {}, (), (), (_unplaced(fits, profile.limits), *refusals))
    if synapses is not None and mapping is not None:
        where = counted_layout(counts, synapses, mapping, fits.placement)
    else:
        where = bounded_layout(counts, fits.placement, profile.limits)
    latency = latency_of(profile, counts, where)
    chips = fits.placement.chips
    scenarios = standing(profile, SPIKING, "", dynamic_charges(where), latency, chips, counts.window_us)
    refusals = [*latency_refusals({SPIKING: latency}), *refusals]
    return without_figures(Assessment(loaded, fits, {SPIKING: latency}, tuple(scenarios), (), tuple(refusals)))


def _unplaced(fits: Fit, limits: Limits) -> str:
    if fits.verdict == "no":
        return f"{SPIKING}: does not fit: {fits.broken}"
    return f"{SPIKING}: cannot be placed: no source states {', '.join(missing_limits(limits))}"


def dynamic_charges(where: Layout) -> list[Charge]:
    """Everything that is paid per event.

    ``SOP e_syn + N_active e_active + N_inactive e_inactive + S e_spike + P e_packet + H e_hop`` per population, plus
    the packets that cross chips and the reset of every chip between two recordings. The price of a synaptic operation
    includes its memory; the neurons of a core are swept in every step, hence the inactive updates.
    """
    charges = [charge for layer in where.layers for charge in _population(layer)]
    charges += [charge for each in where.routed for charge in _routed(each)]
    crossing = Charge("spike traffic", WHOLE_NETWORK, "energy.chip_crossing", where.crossings, scales=True)
    reset = Charge("reset", WHOLE_NETWORK, "energy.reset", exact(where.placement.chips))
    return [*charges, crossing, reset]


def _population(layer: LayerCounts) -> list[Charge]:
    return [
        Charge("synaptic operations", layer.layer, "energy.synop", exact(layer.synops), scales=True),
        Charge("neuron updates", layer.layer, "energy.neuron_update_active", exact(layer.active_updates)),
        Charge("neuron updates", layer.layer, "energy.neuron_update_inactive", exact(layer.inactive_updates)),
        Charge("spike traffic", layer.layer, "energy.spike_out", exact(layer.spikes), scales=True),
        *_attention(layer),
    ]


def _routed(each: Routed) -> list[Charge]:
    return [
        Charge("spike traffic", each.layer, "energy.packet", each.packets, scales=True),
        Charge("spike traffic", each.layer, "energy.hop", each.hops, scales=True),
    ]


def _attention(layer: LayerCounts) -> list[Charge]:
    """Products of two spikes, on platforms that can form them."""
    if layer.ands is None or layer.adds is None:
        return []
    return [
        Charge("synaptic operations", layer.layer, "energy.and_popcount", exact(layer.ands), scales=True),
        Charge("synaptic operations", layer.layer, "energy.synop", exact(layer.adds), scales=True),
    ]
