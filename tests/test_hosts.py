"""Measured hosts: counters read from real files, the import of a meter's log, timing, and the command."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import TINY, calibrated, random_frames
from report_cases import MACHINE, measured_run

from deploy.energy.networks.baselines import baselines
from deploy.report.hosts.contenders import contenders
from deploy.report.hosts.counters import Metering, Rapl
from deploy.report.hosts.machine import describe_machine
from deploy.report.hosts.measure import Contender, Plan, Power, Taken, measure, measure_idle, open_counters, summary
from deploy.report.hosts.meter import Meter, add_meter, read_meter
from deploy.report.hosts.results import Energy, Hosts, Subject, Window, faster_first, read_hosts
from export.encoder.network import build_network
from export.nir.to_nir import export_nir
from export.onnx.to_onnx import export_onnx
from spikinghash.errors import GraphError, MissingToolError, RecordingError

RANGE = 1_000_000


def domain(root: Path, folder: str, name: str, start: int) -> Path:
    """A powercap domain as the kernel shows it."""
    (root / folder).mkdir(parents=True)
    (root / folder / "name").write_text(name + "\n")
    (root / folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
    (root / folder / "energy_uj").write_text(f"{start}\n")
    return root / folder / "energy_uj"


@given(st.lists(st.integers(0, RANGE - 1), min_size=1, max_size=30), st.integers(0, RANGE - 1))
def test_rapl_adds_up_across_wrap_arounds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], start: int
) -> None:
    root = tmp_path_factory.mktemp("powercap")
    energy = domain(root, "intel-rapl:0", "package-0", start)
    counter, used = Rapl(root), 0
    for step in steps:
        used += step
        energy.write_text(str((start + used) % RANGE))
        assert counter.read() == pytest.approx(used * 1e-6)


def test_rapl_counts_packages_and_memory_once(tmp_path: Path) -> None:
    energies = [
        domain(tmp_path, folder, name, 100)
        for folder, name in (
            ("intel-rapl:0", "package-0"),
            ("intel-rapl:0:0", "core"),
            ("intel-rapl:0:1", "dram"),
            ("intel-rapl:1", "package-1"),
            ("intel-rapl:2", "psys"),
            ("intel-rapl-mmio:0", "package-0"),
        )
    ]
    (tmp_path / "intel-rapl").mkdir()  # the control type itself, which has no counter
    counter = Rapl(tmp_path)
    assert counter.covers == "package-0, dram, package-1"
    for index, energy in enumerate(energies):
        energy.write_text(str(100 + 10**index))
    assert counter.read() == pytest.approx((1 + 100 + 1000) * 1e-6)


def test_a_missing_counter_says_why(tmp_path: Path) -> None:
    with pytest.raises(MissingToolError, match=r"no energy counter: .*powercap is absent"):
        Rapl(tmp_path / "powercap")
    with pytest.raises(MissingToolError, match="has no intel-rapl package"):
        Rapl(tmp_path)


@pytest.mark.parametrize("file", ["energy_uj", "max_energy_range_uj"])
@pytest.mark.parametrize("text", ["not a number", "-5", "1.5", "", "²"])
def test_a_counter_that_counts_nothing_is_none(tmp_path: Path, file: str, text: str) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", 5).with_name(file).write_text(text)
    with pytest.raises(MissingToolError, match=rf"no energy counter: .*{file} cannot be read"):
        Rapl(tmp_path)


def test_a_counter_without_a_name_is_none(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", 5).with_name("name").unlink()
    with pytest.raises(MissingToolError, match=r"no energy counter: .*name cannot be read"):
        Rapl(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_counter_for_root_alone_says_so(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", 5).chmod(0)
    with pytest.raises(MissingToolError, match="may be read by root alone"):
        Rapl(tmp_path)


def test_nvml_counts_or_says_why_not() -> None:
    counters, reasons = open_counters()
    assert set(counters) | set(reasons) == {"rapl", "nvml"}
    assert all(reason.startswith("no energy counter: ") for reason in reasons.values())
    assert all(counter.read() >= 0 for counter in counters.values())


def test_metering_reads_often_enough_for_a_fast_counter(tmp_path: Path) -> None:
    """The counter wraps four times within the window; reading it only at the ends would see none of it."""
    energy = domain(tmp_path, "intel-rapl:0", "package-0", 0)
    used, seen = 0, threading.Event()

    class Watched(Rapl):
        def read(self) -> float:
            seen.set()
            return super().read()

    counter = Watched(tmp_path)
    with Metering(counter, poll_seconds=0.005) as metering:
        for _ in range(10):
            used += 400_000
            energy.with_suffix(".new").write_text(str(used % RANGE))
            energy.with_suffix(".new").rename(energy)
            for _ in range(2):  # a reading that began before the file changed may end after it
                seen.clear()
                assert seen.wait(10)
    assert metering.joules == pytest.approx(4.0)


# Meter


def log(folder: Path, text: str) -> Path:
    path = folder / "meter.csv"
    path.write_text(text)
    return path


def line_log(folder: Path, start: float = 100.0) -> Path:
    """Power rises by 1 W per second from 5 W; one sample each half second for 20 s."""
    rows = [f"{start + t / 2},{5 + t / 2},x" for t in range(41)]
    return log(folder, "time_s,power_w,note\n" + "\n".join(rows) + "\n")


@given(st.floats(0, 15), st.floats(1.1, 4.9))
def test_energy_is_the_integral_over_the_window(
    tmp_path_factory: pytest.TempPathFactory, begin: float, length: float
) -> None:
    meter = read_meter(line_log(tmp_path_factory.mktemp("meter")))
    window = Window(start=100 + begin, end=100 + begin + length)
    exact = (5 + begin) * length + length**2 / 2
    assert meter.joules(window, "w") == pytest.approx(exact)


def hosts_with(*windows: Window) -> Hosts:
    """A run of 5 passes of 4 codes with these turns."""
    run = measured_run("snn", "integer", 1.0).model_copy(update={"windows": windows, "recordings": 4, "passes": 5})
    return Hosts(machine=MACHINE, recordings="digits", idle=Window(start=100.0, end=102.0), runs=(run,))


@pytest.mark.parametrize("key", ["joules_per_code", "idle_watts"])
def test_no_meter_draws_less_than_nothing(key: str) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Energy.model_validate({key: -1.0})


def test_a_meter_gives_whole_and_dynamic_energy_per_code(tmp_path: Path) -> None:
    turns = (Window(start=110.0, end=112.0), Window(start=112.0, end=114.0))
    hosts = add_meter(hosts_with(*turns), read_meter(line_log(tmp_path)))
    energy = hosts.runs[0].energy
    assert (energy.source, energy.kind, energy.reason) == ("meter", "metered", None)
    assert energy.idle_watts == pytest.approx(6.0)
    assert energy.joules_per_code == pytest.approx(4 * 17 / 20)
    assert energy.dynamic_joules_per_code == pytest.approx(4 * (17 - 6) / 20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,power_w\n1,2\n", r"meter\.csv:1: no column time_s, found 'time,power_w'"),
        ("time_s,power_w\n1,2\n2,x\n", r"meter\.csv:3: '2,x' holds no two numbers"),
        ("time_s,power_w\n1,2\n2\n", r"meter\.csv:3: '2' holds no two numbers"),
        ("time_s,power_w\n1,2\n\n2,-3\n", r"meter\.csv:4: time_s 2\.0, power_w -3\.0: both must be finite"),
        ("time_s,power_w\n1,nan\n2,3\n", r"meter\.csv:2: .* must be finite"),
        ("time_s,power_w\n1,2\n3,2\n2,2\n", r"meter\.csv:4: time_s 2\.0 does not follow 3\.0"),
        ("time_s,power_w\n1,2\n", r"meter\.csv: holds 1 samples: at least 2"),
        ("", r"meter\.csv:1: no column time_s"),
    ],
)
def test_a_broken_log_names_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        read_meter(log(tmp_path, text))


def test_a_log_that_misses_the_run_is_refused(tmp_path: Path) -> None:
    meter = read_meter(line_log(tmp_path))
    with pytest.raises(RecordingError, match=r"covers 100\.0 to 120\.0 s, but a turn of encoder\.onnx, snn, .* lasted"):
        add_meter(hosts_with(Window(start=119.0, end=121.0)), meter)
    with pytest.raises(RecordingError, match=r"1 samples within a turn .*at least 2 are needed"):
        add_meter(hosts_with(Window(start=110.2, end=110.8)), meter)
    with pytest.raises(RecordingError, match="cannot be read"):
        read_meter(tmp_path / "none.csv")


# Timing and results


SUBJECT = Subject(
    encoder="e.onnx", network="e.onnx sha256:0", checkpoint_sha256="0", kind="snn", form="integer", runtime="events",
    device="cpu", batch=2,
)  # fmt: skip
FRAMES = random_frames(TINY, 3)


def powered(root: Path | None = None, idle_watts: float = 0.0) -> Power:
    """A machine with the counter below ``root``, or with none."""
    idle = Window(start=1.0, end=2.0)
    if root is None:
        return Power({}, {"rapl": "no counter here", "nvml": "none"}, idle, {})
    return Power({"rapl": Rapl(root)}, {"nvml": "none"}, idle, {"rapl": idle_watts})


def test_percentiles_of_known_times() -> None:
    shown = summary(np.arange(1, 101) / 1000)
    assert (shown.median, shown.least) == (pytest.approx(0.0505), 0.001)
    assert shown.p95 == pytest.approx(0.09505)


def test_networks_take_turns_over_all_recordings() -> None:
    calls: list[tuple[str, int]] = []

    def contender(name: str, batch: int) -> Contender:
        subject = SUBJECT.model_copy(update={"batch": batch})
        return Contender(subject, lambda frames: calls.append((name, len(frames))), FRAMES)

    runs = measure([contender("a", 2), contender("b", 3)], Plan(rounds=2, seconds=1e-9), powered())
    assert calls == [("a", 2), ("a", 1), ("b", 3)] * 3, "a pass that is not counted, then two rounds"
    assert [(run.passes, run.recordings, len(run.windows)) for run in runs] == [(2, 3, 2)] * 2


def test_turns_fill_their_time_and_are_timed_on_both_clocks() -> None:
    """A pass sleeps 3 ms and computes for 2: the processor's clock shows the second alone."""

    def encode(_: object) -> None:
        time.sleep(0.003)
        end = time.process_time() + 0.002
        while time.process_time() < end:
            pass

    contender = Contender(SUBJECT.model_copy(update={"batch": 3}), encode, FRAMES)
    (run,) = measure([contender], Plan(rounds=2, seconds=0.1), powered())
    assert run.passes >= 4
    assert sum(window.seconds for window in run.windows) >= 0.1
    assert 3 * run.cpu.least >= 0.002
    assert 3 * run.wall.least >= 0.005
    assert run.cpu.least <= run.cpu.median <= run.cpu.p95 < run.wall.p95
    assert run.energy == Energy(reason="no counter here")


def test_energy_is_that_of_the_turns_alone(tmp_path: Path) -> None:
    """Every call draws 1 mJ from a counter that is a real file, and others draw 5 mJ between the turns."""
    energy, used = domain(tmp_path, "intel-rapl:0", "package-0", RANGE - 2500), 0

    def draw(microjoules: int) -> None:
        nonlocal used
        used += microjoules
        energy.write_text(str((RANGE - 2500 + used) % RANGE))

    contender = Contender(SUBJECT.model_copy(update={"batch": 1}), lambda _: draw(1000), FRAMES)
    taken = Taken(contender, powered(tmp_path, idle_watts=0.01))
    for _ in range(3):
        taken.take(1e-9)
        draw(5000)
    run = taken.run()
    assert run.energy.joules_per_code == pytest.approx(1e-3)
    idle = 0.01 * sum(window.seconds for window in run.windows) / 9
    assert run.energy.dynamic_joules_per_code == pytest.approx(1e-3 - idle)
    assert (run.energy.source, run.energy.kind, run.energy.covers) == ("rapl", "measured", "package-0")


def test_idle_power_is_energy_over_time(tmp_path: Path) -> None:
    energy = domain(tmp_path, "intel-rapl:0", "package-0", 0)
    counter = Rapl(tmp_path)
    threading.Timer(0.01, energy.write_text, ["30000"]).start()
    power = measure_idle({"rapl": counter}, {}, 0.5)
    assert power.idle.seconds >= 0.5
    assert power.idle_watts["rapl"] == pytest.approx(0.03 / power.idle.seconds)


def test_the_default_runtime_counts_and_of_others_the_fastest() -> None:
    runs = [measured_run("snn", "integer", 1.0), measured_run("snn", "integer", 2.0, "events")]
    assert [run.runtime for run in faster_first(runs)] == ["events", "onnxruntime"]
    twins = [measured_run("resnet18", "float32", 2.0), measured_run("resnet18", "int8", 1.0)]
    assert [run.form for run in faster_first(twins)] == ["int8", "float32"]


def test_results_survive_json_and_others_are_refused(tmp_path: Path) -> None:
    hosts, path = hosts_with(Window(start=1.0, end=2.0)), tmp_path / "hosts.json"
    path.write_text(hosts.to_json())
    assert read_hosts(path) == hosts
    values = json.loads(hosts.to_json())
    assert hosts.date == "1970-01-01"
    values["runs"][0]["cpu"]["least"] = -1
    path.write_text(json.dumps(values))
    with pytest.raises(GraphError, match=r"hosts\.json: runs\.0\.cpu\.least: .*greater than 0"):
        read_hosts(path)
    with pytest.raises(GraphError, match="cannot be read"):
        read_hosts(tmp_path / "none.json")


def test_the_machine_names_its_cpu_and_whether_it_is_virtual(tmp_path: Path) -> None:
    text = "processor: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu hypervisor sse\n"
    (tmp_path / "cpuinfo").write_text(text)
    machine = describe_machine(tmp_path / "cpuinfo")
    assert (machine.cpu, machine.virtual) == ("Some CPU @ 2 GHz", True)
    assert machine.cores >= 1
    assert {"python", "numba", "onnxruntime"} <= set(machine.versions)
    assert machine.architecture == os.uname().machine
    (tmp_path / "cpuinfo").write_text(text.replace("hypervisor", ""))
    assert not describe_machine(tmp_path / "cpuinfo").virtual


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.hosts", *map(str, arguments)], capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "small.onnx"
    export_onnx(build_network(calibrated(TINY), "integer"), path)
    return path


SHORT = ("--rounds", "2", "--seconds", "0.01", "--idle", "0.01")


def test_the_command_measures_an_encoder_beside_its_twins(tmp_path: Path, encoder: Path) -> None:
    out = tmp_path / "hosts.json"
    done = command(encoder, "--out", out, *SHORT)
    assert done.returncode == 0, done.stderr
    hosts = read_hosts(out)
    spiking = [(runtime, "integer", batch) for runtime in ("events", "onnxruntime") for batch in (1, 64)]
    twins = [(kind, form) for kind in ("ann_twin_1", "ann_twin_t", "resnet18") for form in ("float32", "int8")]
    assert [(run.runtime, run.form, run.batch) for run in hosts.runs[:4]] == spiking
    assert [(run.kind, run.form) for run in hosts.runs[4:]] == twins
    assert {(run.recordings, run.device) for run in hosts.runs} == {(64, "cpu")}
    assert all(run.cpu.least <= run.cpu.median and len(run.windows) == 2 for run in hosts.runs)
    assert all((run.energy.joules_per_code is None) == (run.energy.reason is not None) for run in hosts.runs)
    log(tmp_path, f"time_s,power_w\n{hosts.idle.start - 1},5\n{hosts.runs[-1].windows[-1].end + 1},5\n")
    done = command("--earlier", out, "--meter", tmp_path / "meter.csv", "--out", tmp_path / "metered.json")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "0 samples within the idle time" in done.stderr
    assert not (tmp_path / "metered.json").exists()


def test_the_twins_that_are_timed_do_what_the_report_counts(tmp_path: Path, encoder: Path) -> None:
    found, missing = contenders(encoder, tmp_path)
    assert missing == ()
    counted = {each.kind: each for each in baselines(TINY, None, "")}
    twins = [each for each in found if each.subject.kind != "snn"]
    assert {each.subject.kind for each in twins} == {"ann_twin_1", "ann_twin_t", "resnet18"}
    for each in twins:
        sizes = counted[each.subject.kind]
        assert (each.subject.macs, each.subject.weights) == (sizes.macs, sizes.weights)
        codes = each.encode(each.frames[:1])
        assert isinstance(codes, np.ndarray)
        assert codes.shape == (1, TINY.bits // 8)
        np.testing.assert_array_equal(each.frames, found[0].frames)


def test_what_does_not_run_on_a_processor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.nir"
    export_nir(build_network(calibrated(TINY), "integer"), path)
    done = command(path, "--out", tmp_path / "hosts.json", *SHORT)
    wanted = f"error: {path}: what runs on a processor is the ONNX model: give the .onnx or the .pt\n"
    assert (done.returncode, done.stderr) == (2, wanted)
    assert not (tmp_path / "hosts.json").exists()


def test_the_command_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    done = command("--out", tmp_path / "hosts.json")
    assert done.returncode == 2
    assert done.stderr == "error: give either encoders to measure or --earlier hosts.json with --meter\n"


def test_a_meter_interpolates_between_samples() -> None:
    meter = Meter(Path("m.csv"), np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.0, 2.0, 2.0, 6.0]))
    assert meter.joules(Window(start=0.5, end=3.0), "w") == pytest.approx(0.75 + 2.0 + 3.0)
