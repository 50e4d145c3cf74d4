"""Place a network on the cores of a platform and name every limit that breaks, all at once."""

from collections.abc import Iterator, Mapping

import numpy as np

from deploy.energy.mapping.limits import BrokenLimit, Capacities
from deploy.energy.mapping.mapping import Mapping as Placed
from deploy.energy.mapping.partition import partition
from deploy.energy.mapping.usage import Cores, CoreUse, core_use, fan_in_of, fan_out_of
from export.synaptic.populations import SynapseNetwork
from export.synaptic.sizes import widest_weight
from hardware_profiles.schema import Profile

NETWORK = "the network"


def place(network: SynapseNetwork, profile: Profile) -> Placed:
    """Map ``network`` onto the cores of ``profile``; one that does not fit is placed as well, with its broken limits.

    Raises:
        ProfileError: the platform has no cores.
    """
    capacities = Capacities.of(profile)
    core_of = partition(network, capacities)
    use = core_use(network, core_of, capacities.synapse_bits)
    broken = (
        *_beyond_cores(core_of, use, capacities),
        *_beyond_neurons(network, core_of, capacities),
        *_beyond_platform(network, use, capacities),
    )
    return Placed(profile.meta.id, capacities, core_of, use, broken)


def _beyond_cores(core_of: Mapping[str, Cores], use: CoreUse, capacities: Capacities) -> Iterator[BrokenLimit]:
    """One entry per limit and population on the cores that break it, with the worst of these cores."""
    for name, limit, allowed in capacities.of_cores():
        values = getattr(use, name)
        over = values > allowed
        for population, numbers in core_of.items() if over.any() else ():
            held = np.unique(numbers)
            worst = held[over[held]]
            if len(worst):
                yield BrokenLimit(population, limit, float(values[worst].max()), allowed, len(worst))


def _beyond_neurons(
    network: SynapseNetwork, core_of: Mapping[str, Cores], capacities: Capacities
) -> Iterator[BrokenLimit]:
    """One entry per population whose neurons have more synapses than one neuron may, in or out."""
    counted = {"fan_in": fan_in_of, "fan_out": fan_out_of}
    for name, limit, allowed in capacities.of_neurons():
        for population, numbers in core_of.items():
            synapses = counted[name](network, population)
            if (over := synapses > allowed).any():
                yield BrokenLimit(population, limit, float(synapses.max()), allowed, len(np.unique(numbers[over])))


def _beyond_platform(network: SynapseNetwork, use: CoreUse, capacities: Capacities) -> Iterator[BrokenLimit]:
    cores, neurons = len(use.neurons), int(use.neurons.sum())
    if cores > capacities.cores:
        yield BrokenLimit(NETWORK, "cores", cores, capacities.cores)
    if neurons > capacities.neurons_in_all:
        yield BrokenLimit(NETWORK, "neurons", neurons, capacities.neurons_in_all)
    for population in network.populations:
        arriving = network.arriving[population.name]
        bits = widest_weight((network.by_name[each.source], each.weights.data) for each in arriving)
        if bits > capacities.weight_bits:
            yield BrokenLimit(population.name, "bits per weight", bits, capacities.weight_bits)
        if population.attention is not None and not capacities.dynamic_product:
            yield BrokenLimit(population.name, "dynamic products", population.neurons, 0)
