"""From the assessments of the energy model to the report."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from deploy.energy.amounts import mean
from deploy.energy.ann_network import AnnNetwork
from deploy.energy.assessment import SPIKING, Assessment, Refusal, Scenario, spikes_per_synapse
from deploy.energy.bill import PARTS, Bill
from deploy.energy.break_even import operations_only
from deploy.energy.compiled import Program
from deploy.energy.latency import Latency
from deploy.energy.mapping.placement import Placement
from deploy.energy.model import assess, paper_style
from deploy.energy.search import assess_search
from deploy.energy.stepped import STEPPED
from deploy.energy.validation import Outcome, validate
from deploy.energy.wording import term_name
from deploy.report import model
from deploy.report.answers import answer
from deploy.report.hosts.results import SPIKING_KIND
from deploy.report.measured import Measurement, OnPlatform, on_platform, times
from deploy.report.results import Selection, Weights
from export.synaptic.counts import LayerCounts, NetworkCounts
from export.synaptic.populations import SynapseNetwork
from hardware_profiles.loader import LoadedProfile, load_profile
from hardware_profiles.schema import Profile
from spikinghash.progress import track

_HELPERS = ("delay", "threshold", "counter")
ASSUMPTIONS = (
    "Counts are exact and come from recordings run through the deployed graph. On cores they include what the lowering "
    "adds: delay lines, block clocks and coincidence units. Accelerators run the encoder as it is, processors its ONNX "
    "graph: neither needs anything lowered.",
    "A band is the total at the lowest and at the highest published price of every term at once. The spread over "
    "recordings is shown apart from it.",
    "A term that is needed but unpublished is named, and the sum of the others is then a lower bound, not a total.",
    "The grade of a figure is the weakest kind of evidence among the terms that carry more than 5 % of it.",
    "The boundary is the chip: sensor, host computer, board and power supply are outside, on every platform. The "
    "search for similar codes is billed apart.",
    "Cores: populations are placed in topological order and share cores; convolution kernels are stored unrolled.",
    "Machines in time steps (Loihi, SpiNNaker, TrueNorth): every hop takes a step, so that a recording also fills and "
    "drains the pipeline; neurons are updated in all of these steps. The events of a population follow its spikes from "
    "step to step, and a step is as long as its busiest core.",
    "Accelerator: weights and membrane potentials with the bits that they need, one buffer per layer in the smallest "
    "memory that holds it. Spiking network and ANNs are priced by the same schedules: all steps of a layer per weight "
    "fetch, with potentials in registers; a step at a time; and a step at a time without any reuse.",
    "Processor: every node of the ONNX graph, dense; at worst no activation stays in a cache.",
    "Microcontroller: the encoder as C, the twin on one frame by CMSIS-NN, where both ran on an emulated core "
    "(benchmarks.microcontroller): their instructions over the core's rate. Other weights: as on any processor.",
    "ANN twins: the encoder's topology, ReLU for LIF, softmax attention, int8 weights. Activations have 8 bits, those "
    "of the QNN twin ceil(log2(T + 1)); its MACs are priced as int8 ones, since nothing narrower is published. The "
    "twins on 1 and on T frames were trained in float32 but are priced in int8.",
    "Zeros are skipped only in the twin that says so, only on hardware whose MACs are billed one by one, and not "
    "behind a Haar transform or a mean, which leave none; their share was measured on the trained twin.",
    "ResNet-18: the frames stacked as channels, a 3x3 stem of stride 2 without pooling, int8; its mAP is that of "
    "HashNet's or CSQ's loss on it.",
)


@dataclass(frozen=True)
class Form:
    """The encoder lowered in another way than the graph that is reported on: other operations, the same codes."""

    name: str
    counts: NetworkCounts
    """Traced from the same recordings."""
    synapses: SynapseNetwork | None = None


@dataclass(frozen=True)
class Inputs:
    """All that a report is made of."""

    counts: NetworkCounts
    """Traced from recordings."""
    profiles: Sequence[LoadedProfile] = ()
    networks: Sequence[AnnNetwork] = ()
    """What the spiking network is compared with; empty when its sizes are not known."""
    selection: Selection = field(default_factory=Selection)
    """Retrieval figures of the networks, where they were measured."""
    synapses: SynapseNetwork | None = None
    """Of the traced graph; with them placement and traffic are counted, without they are bounded."""
    name: str = ""
    """How the traced graph was lowered."""
    others: Sequence[Form] = ()
    """Each platform is billed for the one that costs least of those that it runs."""
    programs: Mapping[str, Program] = field(default_factory=dict)
    """The networks as compiled C, by the id of a microcontroller's profile."""
    bits: int | None = None
    """Of a code; ``None`` when not known, and with a classification head."""
    codes: int = 1_000_000
    """Stored codes of the search that is billed."""
    measurement: Measurement | None = None
    """What was measured on the machine at hand."""
    weights: Weights | None = None
    """Those that are priced, where they are known."""
    notes: Sequence[str] = ()
    """What is amiss with the inputs."""


def build_report(inputs: Inputs) -> model.Report:
    """Assess the networks on every platform and lay out all figures."""
    profiles = track(inputs.profiles, "billing platforms", len(inputs.profiles))
    platforms = [_cheapest(loaded, inputs) for loaded in profiles]
    platforms.sort(key=lambda each: (each.spiking is None, each.spiking is not None and not each.spiking.complete))
    spiking = _spiking(inputs)
    baselines = tuple(_baseline(network, inputs.selection) for network in inputs.networks)
    profile = load_profile("cmos_45nm").profile
    measured = times(inputs.measurement, inputs.profiles) if inputs.measurement else None
    return model.Report(
        answer=answer(platforms, spiking, baselines, measured),
        spiking=spiking,
        baselines=baselines,
        platforms=tuple(platforms),
        paper_style=tuple(_priced(profile, row) for row in paper_style(profile, inputs.counts, inputs.networks)),
        search=_search(inputs),
        measured=measured,
        hosts=inputs.measurement.hosts if inputs.measurement else None,
        assumptions=ASSUMPTIONS,
        notes=(*inputs.selection.notes, *inputs.notes),
    )


def _spiking(inputs: Inputs) -> model.Spiking:
    counts = inputs.counts
    return model.Spiking.of(
        counts,
        network=SPIKING,
        kind=SPIKING_KIND,
        weights=sum(layer.weights for layer in counts.layers),
        figure=inputs.selection.figure,
        maps=inputs.selection.retrievals(SPIKING_KIND),
        id=counts.network,
        bits=inputs.bits,
        dataset=inputs.selection.dataset,
        traced=counts.recordings,
        recordings=counts.samples,
        latency_steps=counts.latency,
        window_s=counts.window_us * 1e-6,
        neurons=sum(layer.neurons for layer in counts.layers if layer.kind != "input"),
        synapses=sum(layer.synapses for layer in counts.layers),
        synops=sum(float(layer.synops.mean()) for layer in counts.layers),
        spikes=sum(float(layer.spikes.mean()) for layer in counts.layers),
        spikes_per_synapse=spikes_per_synapse(counts),
        layers=tuple(_layers(counts)),
    )


def _layers(counts: NetworkCounts) -> Iterable[model.Layer]:
    """Populations grouped by the encoder's layer, in order of first appearance."""
    order = list(dict.fromkeys(layer.layer for layer in counts.layers))
    ordered = sorted(counts.layers, key=lambda layer: order.index(layer.layer))
    return (_layer(name, list(group)) for name, group in groupby(ordered, key=lambda layer: layer.layer))


def _layer(name: str, group: list[LayerCounts]) -> model.Layer:
    synops = np.sum([layer.synops for layer in group], axis=0)
    helpers = sum(float(layer.synops.mean()) for layer in group if layer.kind in _HELPERS)
    low, high = np.percentile(synops, (5, 95))
    return model.Layer(
        layer=name,
        populations=len(group),
        neurons=sum(layer.neurons for layer in group),
        synapses=sum(layer.synapses for layer in group),
        weights=sum(layer.weights for layer in group),
        fan_in_max=max(layer.fan_in_max for layer in group),
        spikes=sum(float(layer.spikes.mean()) for layer in group),
        synops=model.Spread(mean=float(synops.mean()), p5_p95=(float(low), float(high))),
        helper_synops_share=helpers / float(synops.mean()) if synops.any() else 0.0,
        active_share=sum(float(layer.active_updates.mean()) for layer in group)
        / sum(layer.neurons * layer.steps for layer in group),
    )


def _baseline(network: AnnNetwork, selection: Selection) -> model.Baseline:
    """Operations of a conventional network, layer by layer."""
    layers = tuple(
        model.BaselineLayer.of(
            layer,
            layer=layer.name,
            activation_bytes=layer.activation_bytes(network.frames) * network.activation_bits // 8,
            density=network.density.get(layer.name, 1.0),
        )
        for layer in network.layers
    )
    maps = selection.retrievals(network.kind)
    return model.Baseline.of(network, network=network.label, figure=selection.figure, maps=maps, layers=layers)


def _cheapest(loaded: LoadedProfile, inputs: Inputs) -> model.Platform:
    """What a platform says of the form that costs least there; of the first one, where no form has a figure."""
    forms = (Form(inputs.name, inputs.counts, inputs.synapses), *inputs.others)
    program = inputs.programs.get(loaded.profile.meta.id)
    measured = on_platform(inputs.measurement, loaded.profile) if inputs.measurement else None
    found = [
        _platform(assess(loaded, form.counts, inputs.networks, form.synapses, program), form, measured)
        for form in forms
    ]
    return min(found, key=lambda each: each.spiking.rank if each.spiking else (math.inf, 0.0))


def _platform(assessment: Assessment, form: Form, measured: OnPlatform | None) -> model.Platform:
    profile, fit = assessment.profile, assessment.fit
    only, accuracy = operations_only(profile), validate(profile)
    return model.Platform.of(
        profile.meta,
        family=profile.meta.platform,
        form=form.name if fit else "",
        profile_sha256=assessment.loaded.sha256,
        validation=tuple(map(_validated, accuracy.outcomes)),
        energy_error=model.MEASURED if measured and measured.bills else accuracy.text("energy"),
        time_error=accuracy.text("time"),
        steps=form.counts.machine_steps if profile.meta.execution in STEPPED else None,
        checks=fit.checks if fit else (),
        placed=_placed(fit.placement) if fit and fit.placement else None,
        times={network: _time(profile, latency) for network, latency in assessment.latencies.items()},
        measured=measured is not None,
        bills=(*(measured.bills if measured else ()), *(_priced(profile, each) for each in assessment.scenarios)),
        even=tuple(map(model.EvenAt.of, assessment.break_evens)),
        operations_only=only,
        runs=profile.run,
        refusals=_refusals((*(measured.refusals if measured else ()), *assessment.refusals)),
        sources=profile.sources,
    )


def _refusals(refusals: Sequence[Refusal]) -> tuple[Refusal, ...]:
    """Networks that share a reason share a refusal."""
    subjects: dict[Refusal, list[str]] = {}
    for each in refusals:
        subjects.setdefault(replace(each, subject=""), []).append(each.subject)
    return tuple(replace(each, subject=", ".join(names)) for each, names in subjects.items())


def _validated(outcome: Outcome) -> model.Validated:
    case = outcome.case
    return model.Validated.of(
        outcome,
        name=case.name,
        tolerance=case.tolerance_rel,
        error=outcome.error_text,
        claimed=case.claimed,
        note=case.note,
    )


def _placed(placement: Placement) -> model.Placed:
    populations = tuple(
        model.PopulationCores(population=name, neurons=int(row.sum()), cores=placement.cores_of(name))
        for name, row in zip(placement.populations, placement.held, strict=True)
    )
    return model.Placed.of(placement, populations=populations)


def _time(profile: Profile, latency: Latency) -> model.Time:
    return model.Time.of(
        latency,
        busy_s=None if latency.busy is None else mean(latency.busy),
        after_window_s=None if latency.response is None else mean(latency.response),
        grade=latency.kind,
        untimed=tuple(term_name(profile, term) for term in latency.untimed),
    )


def _priced(profile: Profile, scenario: Scenario) -> model.Priced:
    bill = scenario.bill
    terms = dict.fromkeys(line.charge.term for line in bill.lines)
    return model.Priced.of(
        bill,
        network=scenario.network,
        basis=scenario.basis,
        energy_j=bill.total,
        recordings_p5_p95_j=bill.spread,
        unpriced=tuple(term_name(profile, term) for term in bill.unpriced),
        covered={term_name(profile, term): term_name(profile, by) for term, by in bill.covered.items()},
        terms=tuple(_term(profile, bill, term) for term in terms),
        parts={part: bill.of_part(part) for part in PARTS if bill.of_part(part).high},
        layers=_parts_by_layer(bill),
    )


def _term(profile: Profile, bill: Bill, term: str) -> model.Term:
    price, count = bill.prices.get(term), bill.count_of_term(term)
    energy = bill.of_term(term) if term not in bill.unpriced else None
    power = term.startswith("power.")
    return model.Term(
        term=term,
        name=term_name(profile, term),
        count=count.corners if count else None,
        unit="chips x time" if power else "words" if term.startswith("memory.") else "events",
        price=price.corners if price else None,
        price_unit="W" if power else "J",
        kind=price.kind if price else None,
        sources=price.sources if price else (),
        energy_j=energy.corners if energy else None,
        share=energy.nominal / bill.total.nominal if energy and bill.total.nominal else None,
    )


def _parts_by_layer(bill: Bill) -> dict[str, dict[str, float]]:
    """Nominal joules per layer and part, in order of appearance."""
    totals: dict[str, dict[str, float]] = {}
    for line in bill.lines:
        if line.energy is not None:
            parts = totals.setdefault(line.charge.layer, {})
            parts[line.charge.part] = parts.get(line.charge.part, 0.0) + mean(line.energy).nominal
    return totals


def _search(inputs: Inputs) -> model.Search | None:
    """One query against the stored codes, on every platform."""
    if inputs.bits is None:
        return None
    size = inputs.codes * -(-inputs.bits // 8)
    rows = tuple(_lookup(loaded, inputs.codes, inputs.bits) for loaded in inputs.profiles)
    return model.Search(codes=inputs.codes, bits=inputs.bits, bytes=size, platforms=rows)


def _lookup(loaded: LoadedProfile, codes: int, bits: int) -> model.Lookup:
    found, profile = assess_search(loaded, codes, bits), loaded.profile
    return model.Lookup.of(
        profile.meta,
        bills=tuple(_priced(profile, row) for row in found.scenarios),
        time=next((_time(profile, each) for each in found.latencies.values()), None),
        refusals=_refusals(found.refusals),
    )
