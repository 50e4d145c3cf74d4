"""A small report for the tests of page, tables, comparison and browser."""

from typing import Any

from energy_cases import small_counts
from networks import TINY

from deploy.report.build import Inputs, build_report
from deploy.report.hosts.results import Energy, Hosts, Machine, Run, Seconds, Window
from deploy.report.inputs import baselines
from deploy.report.measured import fitted
from deploy.report.model import Report
from deploy.report.results import Row, Selection, Weights, select
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
IDLE = Window(start=1_764_500_000, end=1_764_500_005)
MACHINE = Machine(
    cpu="Some CPU", architecture="x86_64", cores=2, memory_bytes=2**34, system="Linux", virtual=True,
    versions={"numba": "0.68"},
)  # fmt: skip
NO_COUNTER = Energy(reason="no energy counter: powercap absent")


def measured_run(kind: str, form: str, milliseconds: float, runtime: str = "onnxruntime", **others: Any) -> Run:
    """A run whose least time is ``milliseconds`` of the processor, its median a tenth more."""
    values = {"macs": None, "weights": None, "energy": NO_COUNTER, "checkpoint_sha256": SHA256} | others
    least = 1e-3 * milliseconds
    cpu, wall = (Seconds(least=f * least, median=1.1 * f * least, p95=2 * f * least) for f in (1.0, 1.25))
    return Run(
        encoder="encoder.onnx", network="encoder.onnx sha256:00", kind=kind, form=form, runtime=runtime, device="cpu",
        batch=1, recordings=64, passes=100, cpu=cpu, wall=wall, windows=(Window(start=1, end=2),), **values,
    )  # fmt: skip


def measured_hosts(**energies: Energy) -> Hosts:
    """The small network and its twins, with energies by kind."""
    counted = {each.kind: each for each in baselines(TINY, Selection(), "results.json")}
    runs = [measured_run("snn", "integer", 8.0), measured_run("snn", "integer", 2.0, "events")]
    for kind, times in {"ann_twin_1": (4.0, 3.0), "ann_twin_t": (5.0, 6.0), "resnet18": (30.0, 10.0)}.items():
        size = {"macs": counted[kind].macs, "weights": counted[kind].weights}
        runs += [
            measured_run(kind, form, *time, **size) for form, *time in zip(("float32", "int8"), times, strict=True)
        ]
    runs = [run.model_copy(update={"energy": energies.get(run.kind, run.energy)}) for run in runs]
    return Hosts(machine=MACHINE, recordings="digits", idle=IDLE, runs=tuple(runs))


HOSTS = measured_hosts()


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
    networks = tuple(baselines(TINY, selection, "results.json"))
    inputs = Inputs(
        counts=counts or small_counts(),
        profiles=load_profiles(profiles),
        networks=networks,
        selection=selection,
        bits=TINY.bits,
        codes=1000,
        measurement=fitted(hosts, "hosts.json", weights, networks, hosts.machine) if hosts else None,
        notes=["a <note> on inputs"],
    )
    return build_report(inputs)
