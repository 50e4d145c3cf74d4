"""Processors (CPU, GPU, microcontroller): dense arithmetic, bound by the arithmetic units or by the main memory.

The spiking network runs as its ONNX graph, whose work was counted from the graph: dense multiply-accumulates over all
steps. Nothing is gained from silent neurons, and zero activations of an ANN are not skipped.

On a microcontroller it runs as compiled C, and so does its twin, where their instructions were counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deploy.energy.amounts import Amount, between, exact, priced, time_at
from deploy.energy.ann_network import AnnNetwork
from deploy.energy.assessment import (
    BUSY,
    REAL_TIME,
    SPIKING,
    Assessment,
    Refusal,
    Scenario,
    latency_refusals,
    lowered_only,
)
from deploy.energy.bill import WHOLE_NETWORK, Bill, Charge, make_bill
from deploy.energy.compiled import ENCODER, TWIN, TWIN_KINDS, Compiled, Program
from deploy.energy.latency import Latency, unstated
from deploy.energy.mapping.limits import Check
from export.synaptic.counts import NetworkCounts
from export.synaptic.natural import NaturalCounts
from hardware_profiles.loader import LoadedProfile
from hardware_profiles.prices import Price, price, weakest
from hardware_profiles.schema import Limits, Profile
from hardware_profiles.terms import COMPUTE_RATES, RateTerm

UTILISATION = "utilisation"
"""Named as unpriced where only the peak rate is published: nobody knows which part of it a network reaches."""
UNCOUNTED = "its instructions were not counted: benchmarks.microcontroller counts those of the encoder and its twin"
OPERATIONS_PER_MAC = 2
_BYTES: dict[RateTerm, int] = {"int8": 1, "bf16": 2, "fp32": 4}


@dataclass(frozen=True)
class Work:
    """What a processor has to do per code."""

    network: str
    operations: float
    """A multiply-accumulate being two."""
    weight_bytes: float
    input_bytes: float
    moved_bytes: float
    """Activations that are written and read, were nothing kept in a cache."""
    state_bytes: float
    """Held at one time: membrane potentials, or the activations of the largest layer."""
    layers: int
    """Linear ones, each of which starts when the one before it is done."""
    instructions: float | None = None
    """Of compiled C, where they were counted: nothing else then decides how long it takes."""


def assess(
    loaded: LoadedProfile, counts: NetworkCounts, networks: Sequence[AnnNetwork], program: Program | None = None
) -> Assessment:
    """Time every network by the roofline and price the time with the power drawn meanwhile.

    Args:
        program: the networks as compiled C on this core, where they were counted: they are then timed by their
            instructions, and those that were not counted are refused, since the two do not compare.
    """
    profile = loaded.profile
    if program and ENCODER in program and "instructions" in profile.rate:
        known = {network.label: program.get(TWIN if network.kind in TWIN_KINDS else "") for network in networks}
        works = [compiled_work(name, found) for name, found in ({SPIKING: program[ENCODER]} | known).items() if found]
        uncounted = tuple(Refusal(name, UNCOUNTED) for name, found in known.items() if found is None)
        compiled = assess_dense(loaded, works, counts)
        return replace(compiled, refusals=(*compiled.refusals, *uncounted))
    works = [ann_work(profile, network) for network in networks]
    if counts.natural is not None:
        works.insert(0, spiking_work(profile, counts.natural))
    dense = assess_dense(loaded, works, counts)
    return replace(dense, refusals=(*latency_refusals(dense.latencies), *lowered_only(counts), *dense.refusals))


def runs_dense(profile: Profile) -> bool:
    """Whether a platform states how fast dense arithmetic runs there, and what power it draws meanwhile."""
    return _compute_rate(profile)[0] is not None and "memory" in profile.rate and "busy" in profile.power


def assess_dense(loaded: LoadedProfile, works: Sequence[Work], counts: NetworkCounts) -> Assessment:
    """Bill dense work; a network whose weights or activations do not fit is refused."""
    profile = loaded.profile
    latencies: dict[str, Latency] = {}
    scenarios: list[Scenario] = []
    refusals: list[Refusal] = []
    for work in works:
        broken = tuple(check for check in memory_checks(profile.limits, work) if check.fits == "no")
        if broken:
            refusals.append(Refusal(work.network, "does not fit", broken))
            continue
        latency = latencies[work.network] = work_latency(profile, work, counts.samples)
        scenarios += _scenarios(profile, work.network, latency, counts.window_us)
    if "static" not in profile.power:
        refusals.append(Refusal(REAL_TIME, unstated("its idle power")))
    return Assessment(loaded, None, latencies, tuple(scenarios), (), tuple(refusals))


def work_latency(profile: Profile, work: Work, samples: int) -> Latency:
    """Time of a network. Its weights come from the main memory once per code.

    At best they are in a cache already, at worst no cache holds any activation.
    """
    if work.instructions is not None:
        return _compiled_latency(profile, work.instructions, samples)
    once = work.input_bytes + work.weight_bytes
    moved = between(*(np.full(samples, each) for each in (work.input_bytes, once, once + work.moved_bytes)))
    return roofline_latency(profile, exact(np.full(samples, work.operations)), moved, work.layers)


def _compiled_latency(profile: Profile, instructions: float, samples: int) -> Latency:
    rate = price(profile.rate["instructions"])
    assert rate is not None
    busy = time_at(rate.corners, exact(np.full(samples, instructions)))
    note = "compiled C, its instructions counted by an emulator"
    return Latency(busy, busy, weakest([rate.kind, "simulated"]), note=note)


def roofline_latency(profile: Profile, operations: Amount, bytes_moved: Amount, layers: int = 0) -> Latency:
    """``max(operations / rate, bytes / bandwidth)`` (Williams et al. 2009, doi 10.1145/1498765.1498785).

    No less than ``layers`` times what a small layer takes, where that is published: on a GPU its launch. With nothing
    but peak rates published it is a lower bound: a single recording seldom reaches them.
    """
    form, rate = _compute_rate(profile)
    bandwidth = price(profile.rate.get("memory", ()))
    if form is None or rate is None or bandwidth is None:
        return Latency(refused=unstated("its operations per second"))
    limits = [
        (time_at(rate.corners, operations), rate, f"{form} arithmetic"),
        (time_at(bandwidth.corners, bytes_moved), bandwidth, "main memory"),
    ]
    if layers and (launch := price(profile.time.get("layer", ()))):
        started = exact(np.full(operations.shape[1], layers))
        limits.append((priced(started, launch.corners), launch, f"{layers} layers, each of which has to be started"))
    busy = np.maximum.reduce([time for time, _, _ in limits])
    _, binding, limit = max(limits, key=lambda each: float(each[0][1].mean()))
    untimed = (UTILISATION,) if binding.bound == "max" else ()
    return Latency(busy, busy, weakest([binding.kind]), untimed, note=f"bound by its {limit}")


def work_bill(profile: Profile, operations: Amount, bytes_moved: Amount) -> tuple[Latency, Bill]:
    """Time and energy of any dense work on a processor, such as a scan of stored codes.

    Args:
        operations: (3, samples), a multiply-accumulate being two.
        bytes_moved: (3, samples) to and from the main memory.
    """
    latency = roofline_latency(profile, operations, bytes_moved)
    return latency, make_bill(profile, _busy_charges(latency))


def spiking_work(profile: Profile, counts: NaturalCounts) -> Work:
    """The ONNX graph of the spiking network. Its memory holds the membrane potentials of a run step by step."""
    onnx, width = counts.onnx, _width(profile)
    state = sum(each.neurons.neurons * -(-each.neurons.state_bits // 8) for each in counts.neurons)
    operations = OPERATIONS_PER_MAC * onnx.macs + onnx.operations
    return Work(
        SPIKING, operations, width * onnx.weights, onnx.input_bytes, width * onnx.values_moved, state, len(counts.maps)
    )


def compiled_work(network: str, program: Compiled) -> Work:
    """A network as compiled C."""
    return Work(network, 0, program.flash_bytes, 0, 0, program.ram_bytes + program.stack_bytes, 0, program.instructions)


def ann_work(profile: Profile, network: AnnNetwork) -> Work:
    """An ANN, dense: its multiply-accumulates, and what is done beside them."""
    beside = sum(layer.adds + layer.transform_adds + layer.multiplies for layer in network.layers)
    operations = OPERATIONS_PER_MAC * network.macs + beside
    width = _width(profile)
    moved = width * sum(layer.inputs + layer.outputs for layer in network.layers)
    state = width * max(layer.activation_bytes(network.frames) for layer in network.layers)
    layers = sum(layer.macs > 0 for layer in network.layers)
    return Work(network.label, operations, width * network.weights, network.input_bits / 8, moved, state, layers)


def memory_checks(limits: Limits, work: Work) -> Iterator[Check]:
    """The memories of a small processor beside what the network keeps in them."""
    needs = (
        ("weight memory bytes", work.weight_bytes, limits.weight_memory_bytes),
        ("working memory bytes", work.state_bytes, limits.working_memory_bytes),
    )
    for name, needed, limit in needs:
        if limit:
            yield Check(name, needed, limit.value, work.network)


def _scenarios(profile: Profile, name: str, latency: Latency, window_us: float) -> Iterator[Scenario]:
    """The processor while it computes; and waiting, at static power, for the rest of the window."""
    if latency.busy is None:
        return
    charges = _busy_charges(latency)
    yield Scenario(name, BUSY, make_bill(profile, charges))
    if "static" in profile.power:
        waiting = np.maximum(window_us * 1e-6 - latency.busy, 0)
        idle = Charge("standing power", WHOLE_NETWORK, "power.static", waiting)
        yield Scenario(name, REAL_TIME, make_bill(profile, [*charges, idle]))


def _busy_charges(latency: Latency) -> list[Charge]:
    charges = [Charge("operations", WHOLE_NETWORK, "power.busy", latency.busy, kind=latency.kind)]
    return charges + [Charge("operations", WHOLE_NETWORK, term, None) for term in latency.untimed]


def _compute_rate(profile: Profile) -> tuple[RateTerm | None, Price | None]:
    """The narrowest number format whose rate is published."""
    form = next((term for term in COMPUTE_RATES if term in profile.rate), None)
    return form, price(profile.rate[form]) if form else None


def _width(profile: Profile) -> int:
    form, _ = _compute_rate(profile)
    return _BYTES[form] if form else 1
