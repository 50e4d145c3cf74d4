"""Whether a network fits: every limit that a platform states is checked, and all that break are named together."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from deploy.energy.layout import fit_of
from deploy.energy.mapping.mapping import Mapping
from deploy.energy.mapping.place import place
from deploy.energy.placement import Check, Fit, Placement, Verdict, fit, required
from export.synaptic.counts import LayerCounts, NetworkCounts
from export.synaptic.populations import SynapseNetwork
from hardware_profiles.schema import Limit, Limits, Profile
from hardware_profiles.terms import PLACEMENT_LIMITS

MANTISSA_BITS = 8
"""Of a weight, sign included."""
FLOAT_BITS = 32


def fit_network(
    profile: Profile, counts: NetworkCounts, synapses: SynapseNetwork | None = None
) -> tuple[Fit, Mapping | None]:
    """Check a network against the limits of a platform of cores and place it where that is possible.

    The placement is absent where a limit breaks, or where the platform does not state what a core holds. A network
    that fits as far as its counts tell is mapped neuron by neuron where ``synapses`` are given, and the mapping is
    returned too.
    """
    limits = profile.limits
    placed = [layer for layer in counts.layers if layer.kind != "input"]
    checks = list(_capacity_checks(placed, profile))
    if missing_limits(limits):
        return Fit(tuple(checks), None), None
    if limits.populations:
        return Fit(*_one_core_each(placed, limits, checks)), None
    greedy = fit(counts.layers, limits)
    if greedy.placement is None:
        checks.append(_least_cores(placed, limits))
    bounded = _joined(checks, greedy)
    if synapses is None or bounded.verdict == "no":
        return bounded, None
    mapping = place(synapses, profile)
    return _joined(checks, fit_of(mapping, counts)), mapping


def _joined(checks: Sequence[Check], placed: Fit) -> Fit:
    return Fit((*checks, *placed.checks), placed.placement)


def missing_limits(limits: Limits) -> list[str]:
    """Limits without which no network can be placed, in words."""
    return [name.replace("_", " ") for name in PLACEMENT_LIMITS if getattr(limits, name) is None]


def _capacity_checks(placed: Sequence[LayerCounts], profile: Profile) -> Iterator[Check]:
    limits = profile.limits
    chips = limits.chips.value if limits.chips else 1
    neurons = sum(layer.neurons for layer in placed)
    yield from _check("bits per weight", _weight_bits(placed), limits.weight_bits)
    yield from _check("populations", len(placed), limits.populations, "a core holds one population")
    yield from _check(f"neurons on {chips} chip{'s' if chips > 1 else ''}", neurons, limits.neurons_per_chip, "", chips)
    attentions = [layer.name for layer in placed if layer.kind == "attention"]
    if attentions and not profile.support.dynamic_matmul:
        yield Check("products of two activations", len(attentions), 0, "no", f"attention {attentions[0]}")


def _weight_bits(placed: Sequence[LayerCounts]) -> int:
    """Of a synapse.

    Wider whole numbers are int8 mantissas with a power of two per layer, or biases, which belong to the neurons.
    """
    widest = max(layer.weight_bits for layer in placed)
    return widest if widest >= FLOAT_BITS else min(widest, MANTISSA_BITS)


def _check(name: str, needed: int, limit: Limit | None, note: str = "", times: int = 1) -> Iterator[Check]:
    if limit:
        available = limit.value * times
        yield Check(name, needed, available, "yes" if needed <= available else "no", note)


def _least_cores(placed: Sequence[LayerCounts], limits: Limits) -> Check:
    """The cores that neurons and synapses need at least, where single neurons fit on none."""
    chips = limits.chips.value if limits.chips else 1
    by_neurons = sum(layer.neurons for layer in placed) / required(limits, "neurons_per_core")
    synapse_bytes = sum(layer.synapses for layer in placed) * required(limits, "synapse_bits") / 8
    by_memory = synapse_bytes / required(limits, "synapse_bytes_per_core")
    needed, available = math.ceil(max(by_neurons, by_memory)), required(limits, "cores_per_chip") * chips
    fits: Verdict = "yes" if needed <= available else "no"
    return Check(f"cores of {chips} chip{'s' if chips > 1 else ''}", needed, available, fits, "at least")


def _one_core_each(
    placed: Sequence[LayerCounts], limits: Limits, checks: list[Check]
) -> tuple[tuple[Check, ...], Placement | None]:
    """One population per core, its convolution kernels stored once."""
    capacity, memory = required(limits, "neurons_per_core"), required(limits, "synapse_bytes_per_core")
    bits = required(limits, "synapse_bits")
    largest = max(placed, key=lambda layer: layer.neurons)
    heaviest = max(placed, key=lambda layer: layer.weights)
    weights = math.ceil(heaviest.weights * bits / 8)
    checks += _check("neurons per core", largest.neurons, limits.neurons_per_core, f"for {largest.name}")
    checks += _check("weight bytes per core", weights, limits.synapse_bytes_per_core, f"for {heaviest.name}")
    if any(check.fits == "no" for check in checks):
        return tuple(checks), None
    cores = len(placed)
    placement = Placement(
        layers=tuple(placed),
        shares=np.eye(cores),
        cores=cores,
        tiles=cores,
        chips=1,
        neurons_used=sum(layer.neurons for layer in placed) / (cores * capacity),
        memory_used=sum(layer.weights for layer in placed) * bits / 8 / (cores * memory),
        full_by={"neurons": 0, "synapse memory": 0},
        mesh=(cores, 1),
    )
    return tuple(checks), placement
