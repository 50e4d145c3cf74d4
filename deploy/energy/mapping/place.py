"""Place a network on the cores of a platform and name every limit that breaks, all at once."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from deploy.energy.mapping.limits import CORE_LIMITS, Capacities, Check
from deploy.energy.mapping.partition import partition
from deploy.energy.mapping.placement import Fit, Placement
from deploy.energy.mapping.usage import Cores, CoreUse, core_use
from export.synaptic.populations import SynapseNetwork
from export.synaptic.sizes import widest_weight
from hardware_profiles.schema import Profile
from spikinghash.errors import ProfileError


def place(network: SynapseNetwork, profile: Profile) -> Fit:
    """Map ``network`` neuron by neuron onto the cores of ``profile``; one that does not fit is placed as well.

    Raises:
        ProfileError: the profile does not say what a core holds, or a core holds exactly one population.
    """
    capacities = Capacities.of(profile)
    if capacities.populations < math.inf:
        raise ProfileError(
            f"{profile.meta.id}: a core holds exactly one population, its kernels stored once: "
            "python -m deploy.report checks such a platform"
        )
    if len(network.of_kind("input")) == len(network.populations):
        return Fit((), None)  # inputs live on the host
    core_of = partition(network, capacities)
    use = core_use(network, core_of, capacities.synapse_bits)
    cores = len(use.neurons)
    held = np.stack([np.bincount(numbers, minlength=cores) for numbers in core_of.values()])
    checks = (
        *_core_checks(core_of, use, capacities),
        *_neuron_checks(network, core_of, capacities),
        *_platform_checks(network, use, capacities),
    )
    return Fit(checks, Placement(capacities, tuple(core_of), held, use.synapse_bytes, core_of))


def _core_checks(core_of: Mapping[str, Cores], use: CoreUse, capacities: Capacities) -> Iterator[Check]:
    """The fullest core of every stated limit; of one that breaks, the worst core of each population on such cores."""
    for name, (limit, stated) in CORE_LIMITS.items():
        values, has = getattr(use, name), getattr(capacities, stated)
        over = values > has
        if np.isfinite(has) and not over.any():
            yield Check(limit, float(values.max()), has, f"core {int(values.argmax())}")
        for population, numbers in core_of.items() if over.any() else ():
            worst = np.unique(numbers[over[numbers]])
            if len(worst):
                yield Check(limit, float(values[worst].max()), has, population, len(worst))


def _neuron_checks(network: SynapseNetwork, core_of: Mapping[str, Cores], capacities: Capacities) -> Iterator[Check]:
    """The same for the synapses of a single neuron, in and out."""
    for limit, has, count in (
        ("fan-in of a neuron", capacities.max_fan_in, network.fan_in),
        ("fan-out of a neuron", capacities.max_fan_out, network.fan_out),
    ):
        synapses = {population: count(population) for population in core_of} if np.isfinite(has) else {}
        checks = [
            Check(limit, int(needs.max()), has, name, len(np.unique(core_of[name][needs > has])))
            for name, needs in synapses.items()
        ]
        yield from _worst(checks)


def _worst(checks: Sequence[Check]) -> Sequence[Check]:
    """Those that break; where none does, the one that comes closest."""
    return [check for check in checks if check.fits == "no"] or sorted(checks, key=lambda each: each.share)[-1:]


def _platform_checks(network: SynapseNetwork, use: CoreUse, capacities: Capacities) -> Iterator[Check]:
    yield Check(f"cores of {capacities.on_chips}", len(use.neurons), capacities.cores)
    if np.isfinite(most := capacities.neurons_per_chip * capacities.chips):
        yield Check(f"neurons on {capacities.on_chips}", int(use.neurons.sum()), most)
    if np.isfinite(capacities.weight_bits):
        yield from _worst(list(_weight_checks(network, capacities.weight_bits)))
    for population in network.populations:
        if population.attention is not None and not capacities.dynamic_product:
            yield Check("products of two activations", population.neurons, 0, population.name)
    for population in () if capacities.graded_spikes else network.of_kind("integrator"):
        yield Check("graded spikes", population.neurons, 0, population.name)


def _weight_checks(network: SynapseNetwork, has: float) -> Iterator[Check]:
    for name, arriving in network.arriving.items():
        bits = widest_weight((network.by_name[each.source], each.weights.data) for each in arriving)
        yield Check("bits per weight", bits, has, name)
