"""Three figures of the energy report, added up by hand: ``python -m benchmarks.energy_by_hand ENCODER.nir``.

From counts and published prices alone, without the energy model, so that a reader can follow every joule: the spiking
network and its QNN twin on the 7 nm accelerator, a step at a time (prices in pJ: N. P. Jouppi et al., "Ten Lessons From
Three Generations Shaped Google's TPUv4i", ISCA 2021, table 2), and the spiking network's ONNX graph on the x86 CPU
(peak rates and largest power of an AMD EPYC 7702).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deploy.energy.ann_network import AnnNetwork
from deploy.energy.assessment import SPIKING
from deploy.energy.model import assess
from deploy.energy.networks.baselines import ann_twin, qnn_twin
from deploy.report.inputs import read_about, read_counts
from export.synaptic.counts import NetworkCounts
from export.synaptic.natural import NaturalCounts
from hardware_profiles.loader import load_profile
from spikinghash.cli import run, wide_console
from spikinghash.errors import GraphError

ADD, MULTIPLY, MAC, OFF_CHIP_BIT = 0.03, 1.48, 0.1, 20.3
"""pJ in 7 nm: int32 addition, int32 multiplication, int8 multiply-accumulate, bit from DRAM."""
RATE, BANDWIDTH, WATTS = 4.096e12, 204.8e9, 225
"""Operations per second, bytes per second from its memory and power of the CPU."""


def word(size: float) -> float:
    """PJ for 64 bits of the smallest SRAM that holds ``size`` bytes."""
    return next(price for limit, price in ((8192, 7.5), (32768, 8.5), (2**20, 14.0)) if size <= limit)


def spiking_pj(counts: NaturalCounts, steps: int) -> float:
    """The spiking network on the accelerator, a step at a time, in pJ."""
    total = OFF_CHIP_BIT * counts.input_bits
    for each in counts.maps:
        weights, bits = each.map.weights, each.map.weight_bits
        total += ADD * each.synops.mean() + word(weights * bits / 8) * steps * weights * bits / 64
    for population in counts.neurons:
        n = population.neurons
        updates = n.neurons * steps
        total += updates * (ADD * (2 + n.adds) + MULTIPLY * n.multiplies)
        total += updates * word(n.neurons * n.state_bits / 8) * 2 * n.state_bits / 64
        total += updates * word(n.neurons * n.current_bits / 8) * n.stream_accesses * n.current_bits / 64
        total += updates * word(n.neurons / 8) * 2 / 64
    return total


def qnn_pj(network: AnnNetwork) -> float:
    """The QNN twin on the accelerator, in pJ."""
    total, bits = OFF_CHIP_BIT * network.input_bits, network.activation_bits
    for layer in network.layers:
        moved = layer.inputs + layer.outputs
        total += MAC * layer.macs + ADD * (layer.adds + layer.transform_adds) + MULTIPLY * layer.multiplies
        total += word(layer.weights) * layer.weights * 8 / 64 + word(moved * bits / 8) * moved * bits / 64
    return total


def onnx_j(counts: NaturalCounts) -> float:
    """The ONNX graph on the CPU, bound by its arithmetic or by fetching fp32 weights and frames, in J."""
    onnx = counts.onnx
    return max((2 * onnx.macs + onnx.operations) / RATE, (4 * onnx.weights + onnx.input_bytes) / BANDWIDTH) * WATTS


def compare(counts: NetworkCounts, qnn: AnnNetwork) -> Iterator[tuple[str, float, float]]:
    """Network and platform, joules by hand, joules of the energy model."""
    assert counts.natural is not None
    step, computing = "a step at a time", "static power counted only while computing"
    rows = (
        ("cmos_7nm", SPIKING, step, spiking_pj(counts.natural, counts.time_steps) * 1e-12),
        ("cmos_7nm", qnn.label, step, qnn_pj(qnn) * 1e-12),
        ("x86_cpu", SPIKING, computing, onnx_j(counts.natural)),
    )
    for platform, network, basis, by_hand in rows:
        found = assess(load_profile(platform), counts, [qnn]).scenarios
        (bill,) = (each.bill for each in found if (each.network, each.basis) == (network, basis))
        yield f"{network} on {platform}, {basis}", by_hand, bill.total.nominal


def main(
    encoder: Annotated[Path, typer.Argument(help="Encoder as NIR file, as export.to_nir writes it.")],
    counts: Annotated[Path | None, typer.Option(help="counts.json of an earlier report, instead of tracing.")] = None,
) -> None:
    """Add up three figures of the report by hand and print them beside it."""
    sizes = read_about(encoder).sizes
    if sizes is None:
        raise GraphError(f"{encoder}: does not state the sizes of its encoder: export it again")
    table = Table("figure", "by hand, J", "report, J")
    for name, by_hand, reported in compare(
        read_counts(encoder, [], counts), qnn_twin(ann_twin(sizes, 1), sizes.time_steps)
    ):
        table.add_row(name, f"{by_hand:.6g}", f"{reported:.6g}")
    wide_console().print(table)


if __name__ == "__main__":
    run(main)
