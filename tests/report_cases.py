"""A small report for the tests of page, tables, comparison and browser."""

from energy_cases import small_counts
from networks import TINY

from deploy.report.build import Inputs, build_report
from deploy.report.hosts.results import Energy, Hosts, Machine, Run, Seconds, Window
from deploy.report.inputs import baselines
from deploy.report.model import Report
from deploy.report.results import Row, Weights, select
from export.synaptic.counts import NetworkCounts
from hardware_profiles.loader import load_profiles

SHA256 = "f" * 64
"""Of the checkpoint of the small network: the second seed of its row."""
ZEROS = {"stages.0.blocks.0.mlp.lif": 0.5}
ROWS = [
    Row(
        name="Spikinghash, integer",
        dataset="digits",
        bits=8,
        map=(0.91, 0.93),
        kind="spikinghash_integer",
        checkpoints=(None, SHA256),
    ),
    Row(name="ANN twin, 1 frame", dataset="digits", bits=8, map=(0.95,), kind="ann_twin_1"),
    Row(name="int8 twin", dataset="digits", bits=8, map=(0.94,), kind="int8_twin", activation_sparsity=ZEROS),
    Row(name="HashNet", dataset="digits", bits=8, map=(0.96,), kind="resnet18_hashnet"),
    Row(name="CSQ", dataset="digits", bits=8, map=(0.97,), kind="resnet18_csq"),
]
HOSTS = Hosts(
    machine=Machine(
        cpu="Some CPU", cores=2, memory_bytes=2**34, system="Linux", virtual=True, versions={"torch": "2.13"}
    ),
    idle=Window(start=0, end=1),
    runs=(
        Run(
            encoder="encoder.onnx",
            network="encoder.onnx sha256:00",
            runtime="onnxruntime",
            device="cpu",
            threads=None,
            batch=4,
            warmup=10,
            repetitions=100,
            seconds=Seconds(p50=8e-3, p95=9e-3, mean=8.1e-3, min=7.9e-3),
            window=Window(start=1, end=2),
            energy=Energy(reason="no energy counter: powercap absent"),
        ),
    ),
)


def report_of(
    counts: NetworkCounts | None = None,
    profiles: str = "all",
    measured: bool = True,
    hosts: Hosts | None = None,
    sha256: str = SHA256,
) -> Report:
    """The report of a small network beside the baselines of TINY; without mAP unless ``measured``."""
    weights = Weights(sha256, "integer", TINY.bits, "digits", None)
    selection = select(ROWS if measured else [], weights, "results.json")
    inputs = Inputs(
        counts=counts or small_counts(),
        profiles=load_profiles(profiles),
        networks=tuple(baselines(TINY, selection, "results.json")),
        selection=selection,
        bits=TINY.bits,
        codes=1000,
        hosts=hosts,
        notes=["a <note> on inputs"],
    )
    return build_report(inputs)
