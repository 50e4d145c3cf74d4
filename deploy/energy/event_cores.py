"""Charges of a spiking network on a mesh of neuromorphic cores."""

from collections.abc import Sequence

from deploy.energy.amounts import Amount, exact
from deploy.energy.bill import Charge
from deploy.energy.placement import Placement
from deploy.energy.traffic import crossings, hops

WHOLE_NETWORK = "whole network"


def dynamic_charges(placement: Placement, packets: Sequence[Amount]) -> list[Charge]:
    """Everything that is paid per event.

    ``SOP e_syn + N_active e_active + N_inactive e_inactive + S e_spike + P e_packet + H e_hop`` per population, plus
    the packets that cross chips and the reset of every chip between two recordings. The price of a synaptic operation
    includes its memory; the neurons of a core are swept in every step, hence the inactive updates.
    """
    charges = [
        charge for index in range(len(placement.layers)) for charge in _population(index, placement, packets[index])
    ]
    crossing = Charge(
        "spike traffic", WHOLE_NETWORK, "energy.chip_crossing", crossings(packets, placement), scales=True
    )
    reset = Charge("reset", WHOLE_NETWORK, "energy.reset", exact(placement.chips))
    return [*charges, crossing, reset]


def _population(index: int, placement: Placement, packets: Amount) -> list[Charge]:
    layer = placement.layers[index]
    inactive = layer.neurons * layer.steps - layer.active_updates
    return [
        Charge("synaptic operations", layer.layer, "energy.synop", exact(layer.synops), scales=True),
        Charge("neuron updates", layer.layer, "energy.neuron_update_active", exact(layer.active_updates)),
        Charge("neuron updates", layer.layer, "energy.neuron_update_inactive", exact(inactive)),
        Charge("spike traffic", layer.layer, "energy.spike_out", exact(layer.spikes), scales=True),
        Charge("spike traffic", layer.layer, "energy.packet", packets, scales=True),
        Charge("spike traffic", layer.layer, "energy.hop", hops(packets, placement), scales=True),
    ]
