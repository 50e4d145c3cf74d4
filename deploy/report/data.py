"""The report as one tree of plain values: what the JSON file holds, and all that page, chart, CSV and table show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.energy.ann_network import AnnNetwork
from deploy.energy.model import SPIKING, assess, paper_style
from deploy.energy.search import assess_search
from deploy.report.answers import answer, platform_answer
from deploy.report.networks import (
    baseline_values,
    layer_values,
    network_values,
    retrieval_values,
)
from deploy.report.platforms import latency_values, platform_values, scenario_values
from deploy.report.results import SPIKING_KIND, Selection
from deploy.report.rounding import rounded
from export.synaptic.counts import NetworkCounts
from export.synaptic.populations import SynapseNetwork
from hardware_profiles.loader import LoadedProfile, load_profile

FORMAT = 2
"""Version of the JSON file."""

ASSUMPTIONS = (
    "Counts are exact and come from recordings run through the deployed graph. They include what the lowering adds: "
    "delay lines, block clocks and coincidence units.",
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
    "Accelerator: 8-bit weights, 16-bit membrane potentials, one buffer per layer in the smallest memory that holds "
    "it, weights resident. Spiking network and ANNs are priced under the same two dataflows.",
    "ANN twins: the encoder's topology, ReLU for LIF, softmax attention, int8 weights. Activations have 8 bits, those "
    "of the QNN twin ceil(log2(T + 1)); its MACs are priced as int8 ones, since nothing narrower is published. The "
    "twins on 1 and on T frames were trained in float32 but are priced in int8.",
    "Zeros are skipped only in the twin that says so, only on hardware whose MACs are billed one by one, and not "
    "behind a Haar transform or a mean, which leave none; their share was measured on the trained twin.",
    "ResNet-18: the frames stacked as channels, a 3x3 stem of stride 2 without pooling, int8; its mAP is that of "
    "HashNet's or CSQ's loss on it.",
)


@dataclass(frozen=True)
class Inputs:
    """All that a report is made of."""

    counts: NetworkCounts
    """Traced from recordings."""
    profiles: Sequence[LoadedProfile]
    networks: Sequence[AnnNetwork] = ()
    """What the spiking network is compared with; empty when its sizes are not known."""
    selection: Selection = field(default_factory=Selection)
    """Retrieval figures of the networks, where they were measured."""
    dataset: str = ""
    """What the retrieval figures were measured on."""
    synapses: SynapseNetwork | None = None
    """Of the traced graph; with them placement and traffic are counted, without they are bounded."""
    bits: int | None = None
    """Of a code; ``None`` when not known."""
    codes: int = 1_000_000
    """Stored codes of the search that is billed."""
    hosts: Mapping[str, Any] | None = None
    """Latencies measured on computers at hand, as ``deploy.hosts`` wrote them."""
    notes: Sequence[str] = ()
    """Remarks on the inputs, shown with the assumptions."""


def report_data(inputs: Inputs) -> dict[str, Any]:
    """Assess the networks on every platform and lay out all figures, rounded to six digits."""
    assessments = [assess(loaded, inputs.counts, inputs.networks, inputs.synapses) for loaded in inputs.profiles]
    assessments.sort(key=lambda assessment: not assessment.scenarios)  # what has figures comes first
    platforms = [platform_values(assessment) for assessment in assessments]
    network = network_values(inputs.counts, inputs.bits)
    for platform in platforms:
        platform["answer"] = platform_answer(platform, network["window_s"])
    networks = _networks(inputs, network)
    tree: dict[str, Any] = rounded(
        {
            "format": FORMAT,
            "answer": answer(platforms, networks, inputs.bits),
            "dataset": inputs.dataset,
            "network": network,
            "networks": networks,
            "chart": chart_values(platforms, {item["network"]: item for item in networks}),
            "layers": layer_values(inputs.counts),
            "platforms": platforms,
            "paper_style": _paper(inputs),
            "search": _search(inputs, [each.loaded for each in assessments], platforms),
            "hosts": inputs.hosts,
            "assumptions": [*ASSUMPTIONS, *inputs.selection.notes, *inputs.notes],
        }
    )
    return tree


def _networks(inputs: Inputs, network: dict[str, Any]) -> list[dict[str, Any]]:
    """The spiking network and the conventional ones, each with the mAP that was measured."""
    spiking = {"network": SPIKING, "kind": SPIKING_KIND, "weights": network["weights"]}
    rows = [spiking, *(baseline_values(each) for each in inputs.networks)]
    for row in rows:
        row["maps"] = [retrieval_values(each) for each in inputs.selection.retrievals(row["kind"])]
    return rows


def chart_values(platforms: Sequence[dict[str, Any]], networks: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The bubbles: one per platform, network and trained variant of it; platforms are numbered in the page's order."""
    shown = [platform for platform in platforms if platform["headlines"]]
    points = [
        {
            "number": number,
            "platform": platform["name"],
            "network": row["network"],
            "kind": networks[row["network"]]["kind"],
            "weights": networks[row["network"]]["weights"],
            "energy_j": row["energy_j"],
            "complete": row["complete"],
            "grade": row["grade"],
            "real_time": row["real_time"],
            "map": retrieval,
        }
        for number, platform in enumerate(shown, start=1)
        for row in platform["headlines"]
        for retrieval in networks[row["network"]]["maps"] or [None]
    ]
    return {"platforms": {platform["id"]: number for number, platform in enumerate(shown, start=1)}, "points": points}


def _paper(inputs: Inputs) -> dict[str, Any]:
    """What papers print that count fp32 operations and nothing else."""
    profile = load_profile("cmos_45nm").profile
    scenarios = [scenario_values(profile, row) for row in paper_style(profile, inputs.counts, inputs.networks)]
    return {"id": "paper_style", "name": "Paper style", "scenarios": scenarios}


def _search(
    inputs: Inputs, profiles: Sequence[LoadedProfile], platforms: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """One query against the stored codes, on every platform."""
    if inputs.bits is None:
        return None
    rows = []
    for loaded, platform in zip(profiles, platforms, strict=True):
        found = assess_search(loaded, inputs.codes, inputs.bits)
        encoding = [row for row in platform["headlines"] if row["network"] == SPIKING]
        rows.append(
            {
                "id": platform["id"],
                "name": platform["name"],
                "scenarios": [scenario_values(loaded.profile, row) for row in found.scenarios],
                "latency": {name: latency_values(loaded.profile, each) for name, each in found.latencies.items()},
                "refusals": [str(refusal) for refusal in found.refusals],
                "encoding": encoding[0] if encoding else None,
            }
        )
    size = inputs.codes * -(-inputs.bits // 8)
    return {"codes": inputs.codes, "bits": inputs.bits, "bytes": size, "platforms": rows}
