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
from networks import SMALL, calibrated, random_frames

from deploy.report.hosts.counters import Metering, Rapl
from deploy.report.hosts.machine import describe_machine
from deploy.report.hosts.measure import Plan, measure, measure_idle, open_counters, summary, timed
from deploy.report.hosts.meter import Meter, add_meter, read_meter
from deploy.report.hosts.results import Energy, Hosts, Run, Seconds, Window, read_hosts
from export.encoder.network import build_network
from export.nir.to_nir import export_nir
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
        )
    ]
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
    energy = domain(tmp_path, "intel-rapl:0", "package-0", 5)
    energy.write_text("not a number")
    with pytest.raises(MissingToolError, match="energy_uj cannot be read"):
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


def run_in(window: Window) -> Run:
    return Run(
        encoder="e.onnx", network="e.onnx sha256:0", runtime="onnxruntime", device="cpu", threads=None, batch=4,
        warmup=3, repetitions=5, seconds=Seconds(p50=0.1, p95=0.2, mean=0.1, min=0.1), window=window, energy=Energy(),
    )  # fmt: skip


def hosts_with(*windows: Window) -> Hosts:
    idle = Window(start=100.0, end=102.0)
    return Hosts(machine=describe_machine(), idle=idle, runs=tuple(run_in(window) for window in windows))


def test_a_meter_gives_whole_and_dynamic_energy_per_code(tmp_path: Path) -> None:
    hosts = add_meter(hosts_with(Window(start=110.0, end=114.0)), read_meter(line_log(tmp_path)))
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
    with pytest.raises(RecordingError, match=r"covers 100\.0 to 120\.0 s, but the run of e\.onnx with batch 4 lasted"):
        add_meter(hosts_with(Window(start=119.0, end=121.0)), meter)
    with pytest.raises(RecordingError, match=r"1 samples within the run .*at least 2 are needed"):
        add_meter(hosts_with(Window(start=110.2, end=110.8)), meter)
    with pytest.raises(RecordingError, match="cannot be read"):
        read_meter(tmp_path / "none.csv")


# Timing and results


def test_percentiles_of_known_times() -> None:
    shown = summary(np.arange(1, 101) / 1000)
    assert (shown.p50, shown.min) == (pytest.approx(0.0505), 0.001)
    assert shown.p95 == pytest.approx(0.09505)


def test_calls_are_warm_and_fill_both_count_and_time() -> None:
    calls: list[float] = []

    def call() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.002 if len(calls) > 3 else 0.2)  # the first three calls are slow and are not timed

    times, window, joules = timed(call, Plan(repetitions=4, seconds=0.05), None)
    assert joules is None
    assert len(times) == len(calls) - 3 >= 4
    assert window.seconds >= 0.05
    assert times.sum() <= window.seconds
    assert np.median(times) < 0.2
    few, _, _ = timed(lambda: None, Plan(repetitions=7, seconds=1e-9), None)
    assert len(few) == 7


def test_energy_is_that_of_the_timed_calls_alone(tmp_path: Path) -> None:
    """Every call draws 1 mJ from a counter that is a real file."""
    energy = domain(tmp_path, "intel-rapl:0", "package-0", RANGE - 2500)
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        energy.write_text(str((RANGE - 2500 + 1000 * calls) % RANGE))

    _, _, joules = timed(call, Plan(repetitions=6, seconds=1e-9), Rapl(tmp_path))
    assert calls == 3 + 6
    assert joules == pytest.approx(6e-3)


def test_idle_power_is_energy_over_time(tmp_path: Path) -> None:
    energy = domain(tmp_path, "intel-rapl:0", "package-0", 0)
    counter = Rapl(tmp_path)
    threading.Timer(0.01, energy.write_text, ["30000"]).start()
    idle = measure_idle({"rapl": counter}, 0.5)
    assert idle.window.seconds >= 0.5
    assert idle.watts["rapl"] == pytest.approx(0.03 / idle.window.seconds)


def test_without_a_counter_energy_is_null_with_the_reason(tmp_path: Path) -> None:
    encoder = tmp_path / "small.nir"
    export_nir(build_network(calibrated(SMALL), "integer"), encoder)
    frames, idle = random_frames(SMALL, 2), measure_idle({}, 0.001)
    run = measure(encoder, frames, Plan(1, 1e-9), {}, {"rapl": "no counter here"}, idle)
    assert run.energy == Energy(reason="no counter here")
    assert (run.runtime, run.batch, run.repetitions, run.device) == ("nir", 2, 1, "cpu")
    assert run.per_code_s == run.seconds.p50 / 2


def test_results_survive_json_and_others_are_refused(tmp_path: Path) -> None:
    hosts, path = hosts_with(Window(start=1.0, end=2.0)), tmp_path / "hosts.json"
    path.write_text(hosts.to_json())
    assert read_hosts(path) == hosts
    values = json.loads(hosts.to_json())
    values["runs"][0]["seconds"]["p50"] = -1
    path.write_text(json.dumps(values))
    with pytest.raises(GraphError, match=r"hosts\.json: runs\.0\.seconds\.p50: .*greater than 0"):
        read_hosts(path)
    with pytest.raises(GraphError, match="cannot be read"):
        read_hosts(tmp_path / "none.json")


def test_the_machine_names_its_cpu_and_whether_it_is_virtual(tmp_path: Path) -> None:
    text = "processor: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu hypervisor sse\n"
    (tmp_path / "cpuinfo").write_text(text)
    machine = describe_machine(tmp_path / "cpuinfo")
    assert (machine.cpu, machine.virtual) == ("Some CPU @ 2 GHz", True)
    assert machine.cores >= 1
    assert {"python", "torch", "onnxruntime"} <= set(machine.versions)
    (tmp_path / "cpuinfo").write_text(text.replace("hypervisor", ""))
    assert not describe_machine(tmp_path / "cpuinfo").virtual


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.hosts", *map(str, arguments)], capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip


def test_the_command_measures_single_and_batch(tmp_path: Path) -> None:
    encoder, out = tmp_path / "small.nir", tmp_path / "hosts.json"
    export_nir(build_network(calibrated(SMALL), "integer"), encoder)
    done = command(encoder, "--out", out, "--repetitions", "2", "--seconds", "0.01", "--idle", "0.01")
    assert done.returncode == 0, done.stderr
    hosts = read_hosts(out)
    assert [run.batch for run in hosts.runs] == [1, 64]
    for run in hosts.runs:
        assert run.repetitions >= 2
        assert run.seconds.min <= run.seconds.p50 <= run.seconds.p95
        assert (run.energy.joules_per_code is None) == (run.energy.reason is not None)
    log(tmp_path, f"time_s,power_w\n{hosts.idle.start - 1},5\n{hosts.runs[-1].window.end + 1},5\n")
    done = command("--earlier", out, "--meter", tmp_path / "meter.csv", "--out", tmp_path / "metered.json")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "0 samples within the idle time" in done.stderr
    assert not (tmp_path / "metered.json").exists()


def test_the_command_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    done = command("--out", tmp_path / "hosts.json")
    assert done.returncode == 2
    assert done.stderr == "error: give either encoders to measure or --earlier hosts.json with --meter\n"


def test_a_meter_interpolates_between_samples() -> None:
    meter = Meter(Path("m.csv"), np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.0, 2.0, 2.0, 6.0]))
    assert meter.joules(Window(start=0.5, end=3.0), "w") == pytest.approx(0.75 + 2.0 + 3.0)
