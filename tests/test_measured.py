"""Measured figures in a report: of this machine, encoder and twins alone, and never beside modelled ones."""

import functools
import json
import threading
import time
from pathlib import Path

import pytest
from energy_cases import small_counts
from networks import TINY, calibrated
from report_cases import HOSTS, MACHINE, SHA256, measured_hosts, report_of
from search_cases import write_random_recording

from deploy.energy.assessment import SPIKING
from deploy.report import __main__ as command
from deploy.report.answers import LABELS, pair_answer, platform_answer
from deploy.report.compare import compare_reports
from deploy.report.hosts import measure
from deploy.report.hosts.contenders import contenders, measure_encoders
from deploy.report.hosts.counters import Rapl
from deploy.report.hosts.measure import Plan
from deploy.report.hosts.results import Energy, Hosts
from deploy.report.inputs import baselines
from deploy.report.measured import BY_COUNTER, BY_POWER, fitted, on_platform
from deploy.report.model import MEASURED, Platform, Report, read_report
from deploy.report.page import page
from deploy.report.results import Selection, Weights
from deploy.report.tables import everything, summary
from export.encoder.network import build_network
from export.onnx.to_onnx import export_onnx
from hardware_profiles.loader import load_profiles
from spikinghash.errors import GraphError, RecordingError
from spikinghash.seal import sealed_json
from tests.commands import Call
from tests.test_hosts import RANGE, domain

TWIN = "ANN twin (1 frame)"


def metered(joules: float, above: float) -> Energy:
    return Energy(
        joules_per_code=joules, dynamic_joules_per_code=above, idle_watts=2.0, source="rapl", kind="measured",
        covers="package-0",
    )  # fmt: skip


def x86(report: Report) -> Platform:
    return next(each for each in report.platforms if each.id == "x86_cpu")


@pytest.fixture(scope="module")
def timed() -> Report:
    return report_of(profiles="x86_cpu,cmos_45nm", hosts=HOSTS)


@pytest.fixture(scope="module")
def powered() -> Report:
    hosts = measured_hosts(snn=metered(4e-3, 1e-3), ann_twin_1=metered(2e-3, 2e-3 / 3))
    return report_of(profiles="x86_cpu,cmos_45nm", hosts=hosts)


def test_measured_times_are_compared_with_the_faster_form_of_each_twin(timed: Report) -> None:
    assert timed.measured is not None
    rows = {each.networks: each for each in timed.measured.networks}
    assert next(iter(rows)) == (SPIKING,)
    assert [run.runtime for run in rows[SPIKING,].runs] == ["events", "ONNX Runtime"]
    twin = rows[TWIN, "QNN twin (3-bit)", "int8 twin (zeros skipped)"]
    assert [run.runtime for run in twin.runs] == ["ONNX Runtime, int8", "ONNX Runtime, float32"]
    assert twin.ratio == pytest.approx((2 / 3, 2 / 3), rel=1e-5)
    assert rows["ANN twin (4 frames)",].ratio[0] == pytest.approx(2 / 5, rel=1e-5)
    assert rows["ResNet-18",].ratio[0] == pytest.approx(0.2)
    assert timed.measured.platforms == ("x86_cpu",)


def test_without_joules_time_stands_alone_and_energy_is_refused(timed: Report) -> None:
    platform = x86(timed)
    assert platform.measured
    assert platform.figures == {}
    assert platform.comparisons == ()
    assert any(not bill.measured for bill in platform.bills), "the model's are kept in its section"
    refusal = str(platform.refusal)
    assert "powercap absent; the profile states no band of power, but at most 225 W" in refusal
    assert platform_answer(platform, 0.3).startswith("No figure: time alone is measured on this machine, energy is ")
    assert "no figure: x86_cpu (time measured here) (--full says why)" in list(summary(timed))
    html = page(timed)
    assert refusal.replace("'", "&#39;") in html
    for text in ("Measured on this machine", "Some CPU, x86_64, 2 cores, virtual, 2025-11-30", "ONNX Runtime, int8"):
        assert text in html


def test_the_answer_has_a_line_of_what_was_measured(timed: Report) -> None:
    lines = list(summary(timed))
    assert str(lines[len(LABELS)]).startswith(f"{MEASURED} ")
    text = dict(timed.answer.lines)[MEASURED]
    assert text == (
        "2.2 ms of a core per code in events, 0.67 times the time of its QNN twin (3-bit) in ONNX Runtime, int8; "
        "energy not measured; Some CPU, x86_64, 2 cores, virtual, 2025-11-30"
    )
    assert any("Measured: Some CPU" in str(getattr(part, "title", "")) for part in everything(timed))
    without = report_of(profiles="x86_cpu")
    assert MEASURED not in dict(without.answer.lines)
    assert "Measured on this machine" not in page(without)


def test_measured_energy_is_compared_with_measured_energy(powered: Report) -> None:
    platform = x86(powered)
    assert platform.spiking is not None
    assert {bill.basis for bill in platform.counted} == {BY_COUNTER}
    assert platform.spiking.energy_j == pytest.approx([4e-3] * 3)
    assert (platform.spiking.static_j, platform.spiking.dynamic_j) == pytest.approx((3e-3, 1e-3))
    assert platform.energy_error == MEASURED
    against = {each.against: each for each in platform.comparisons}
    assert set(against) == {TWIN, "QNN twin (3-bit)", "int8 twin (zeros skipped)"}, "others were not metered"
    assert against[TWIN].ratio == pytest.approx((2.0, 2.0, 2.0), rel=1e-5)
    html = page(powered)
    assert '<td class="n" data-label="above idle">1.0 mJ</td>' in html
    assert "package-0, measured by rapl; 2.0 W when idle" in html
    modelled = x86(report_of(profiles="x86_cpu"))
    assert [bill for bill in platform.bills if not bill.measured] == list(modelled.bills)


def test_no_sentence_relates_measured_to_modelled(powered: Report) -> None:
    pair = report_of(profiles="cortex_m4,x86_cpu", hosts=powered.hosts)
    assert pair_answer(pair).endswith(
        " and 4.0 mJ measured here on x86 CPU (AMD EPYC 7702); measured is not compared with modelled."
    )
    assert "0 held against measured energies" in dict(pair.answer.lines)["how complete"]


def test_a_comparison_shows_no_modelled_latency_of_a_measured_processor(timed: Report) -> None:
    modelled = report_of(profiles="x86_cpu")
    (change,) = compare_reports(modelled, timed, ("a", "b")).platforms
    before, after = change.time.after_window_s
    assert (before is None, after, change.time.ratio) == (False, None, None)


def test_an_answer_without_any_figure_says_why_in_short() -> None:
    hardware = dict(report_of(profiles="x86_cpu", hosts=HOSTS).answer.lines)["hardware"]
    assert hardware.startswith("no platform here has a figure: time alone is measured on this machine")


def test_a_published_band_of_power_gives_an_energy(tmp_path: Path) -> None:
    text = Path(load_profiles("x86_cpu")[0].path).read_text()
    head, tail = text.split("[[power.busy]]")
    band = "".join(
        f'[[power.busy]]\nvalue = {watts}\nunit = "W"\nkind = "measured"\nscope = "per_term"\nsource = "zazo2019"\n'
        for watts in (2, 3, 5)
    )
    mine = tmp_path / "mine.toml"
    mine.write_text(head + band)
    assert "225" in tail
    platform = report_of(profiles=str(mine), hosts=HOSTS).platforms[0]
    assert platform.spiking is not None
    assert platform.spiking.basis == BY_POWER
    assert platform.spiking.energy_j == pytest.approx((4.4e-3, 6.6e-3, 11e-3), rel=1e-4)
    ratios = {each.against: each.ratio for each in platform.comparisons}
    assert ratios["ResNet-18"] == pytest.approx((0.2, 0.2, 0.2), rel=1e-5)
    mine.write_text((head + band).replace('architecture = "x86_64"', 'architecture = "aarch64"'))
    other = report_of(profiles=str(mine), hosts=HOSTS)
    assert not other.platforms[0].measured
    assert "No platform of this report is of this architecture" in page(other)


def test_a_report_with_measurements_is_read_again(powered: Report, tmp_path: Path) -> None:
    command.write_report(powered, small_counts(), tmp_path)
    assert read_report(tmp_path / "report.json") == powered


NETWORKS = tuple(baselines(TINY, Selection(), "results.json"))
WEIGHTS = Weights(SHA256, "integer", TINY.bits, "digits", None)


@pytest.mark.parametrize(
    ("machine", "weights", "message"),
    [
        (
            {"cpu": "Other"},
            WEIGHTS,
            r"h\.json: measured on Some CPU, .*; this is Other, x86_64, .*: measure with python",
        ),
        ({"architecture": "aarch64"}, WEIGHTS, r"measured on Some CPU, x86_64, .* this is Some CPU, aarch64, "),
        ({}, None, r"h\.json: measured of one encoder: give a file that names its checkpoint, not counts alone"),
        ({}, Weights("", "integer", 8, "", None), r"give a file that names its checkpoint"),
        (
            {},
            Weights("e" * 64, "integer", 8, "", None),
            r"measured of encoder\.onnx \(f{12}, integer\), not of checkpoint e{12} ",
        ),
        ({}, Weights(SHA256, "float", 8, "", None), r"not of checkpoint f{12} in float numbers"),
    ],
)
def test_measurements_of_something_else_are_refused(
    machine: dict[str, str], weights: Weights | None, message: str
) -> None:
    with pytest.raises(GraphError, match=message):
        fitted(HOSTS, "h.json", weights, NETWORKS, MACHINE.model_copy(update=machine))


def test_batches_alone_are_refused() -> None:
    runs = tuple(run.model_copy(update={"batch": 64}) for run in HOSTS.runs)
    with pytest.raises(GraphError, match=r"h\.json: measured of no encoder, one recording at a time, not of "):
        fitted(HOSTS.model_copy(update={"runs": runs}), "h.json", WEIGHTS, NETWORKS, MACHINE)


def test_other_twins_are_refused_and_missing_ones_are_missing() -> None:
    runs = [run.model_copy(update={"macs": 1}) if run.kind == "resnet18" else run for run in HOSTS.runs]
    other = HOSTS.model_copy(update={"runs": tuple(runs)})
    with pytest.raises(
        GraphError, match=r"h\.json: its ResNet-18 has 1 multiply-accumulates and .* that of this report"
    ):
        fitted(other, "h.json", WEIGHTS, NETWORKS, MACHINE)
    alone = HOSTS.model_copy(update={"runs": tuple(run for run in HOSTS.runs if run.kind == "snn")})
    report = report_of(profiles="x86_cpu", hosts=alone)
    assert report.measured is not None
    assert [each.networks for each in report.measured.networks] == [(SPIKING,)]
    assert dict(report.answer.lines)[MEASURED].startswith("2.2 ms of a core per code in events; energy")


# The command, on real measurements


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "small.onnx"
    export_onnx(build_network(calibrated(TINY), "integer", checkpoint_sha256=SHA256, dataset="digits"), path)
    return path


@pytest.fixture(scope="module")
def hosts(encoder: Path) -> Hosts:
    return measure_encoders([encoder], Plan(rounds=1, seconds=0.01), idle_seconds=0.01)


def test_a_report_takes_what_was_measured_of_its_encoder(
    call: Call, tmp_path: Path, encoder: Path, hosts: Hosts
) -> None:
    path, out = tmp_path / "hosts.json", tmp_path / "out"
    path.write_text(sealed_json(hosts.to_json()))
    given = (encoder, "--platforms", "x86_cpu,cmos_45nm", "--hosts", path, "--out", out)
    done = call(command.main, *given)
    assert done.code == 0, done.err
    measured = read_report(out / "report.json").measured
    assert measured is not None
    times = {run.runtime: run.cpu.median for run in hosts.runs if run.kind == "snn" and run.batch == 1}
    assert {run.runtime: run.cpu_s[1] for run in measured.networks[0].runs} == pytest.approx(
        {"events": times["events"], "ONNX Runtime": times["onnxruntime"]}, rel=1e-5
    )
    assert len(measured.networks) == 4
    assert MEASURED in done.out
    assert json.loads((out / "report.json").read_text())["measured"]["recordings"] == (
        "64 recordings (digits that come along)"
    )


def test_a_machine_with_a_counter_gives_energies(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter in the layout of the kernel's that shows a tenth of a watt, at all times."""
    energy = domain(tmp_path, "intel-rapl:0", "package-0", 0)
    begin, done = time.monotonic(), threading.Event()

    def draw() -> None:
        while not done.wait(0.002):
            energy.with_suffix(".new").write_text(str(int(1e5 * (time.monotonic() - begin)) % RANGE))
            energy.with_suffix(".new").rename(energy)

    monkeypatch.setattr(measure, "Rapl", functools.partial(Rapl, tmp_path))
    drawing = threading.Thread(target=draw)
    drawing.start()
    try:
        hosts = measure_encoders([encoder], Plan(rounds=1, seconds=0.5), idle_seconds=0.5)
    finally:
        done.set()
        drawing.join()
    for run in hosts.runs:
        joules = (run.energy.joules_per_code or 0) * run.recordings * run.passes
        assert joules == pytest.approx(0.1 * sum(window.seconds for window in run.windows), rel=0.5)
        assert run.energy.idle_watts == pytest.approx(0.1, rel=0.5)
        assert (run.energy.source, run.energy.covers) == ("rapl", "package-0")
    networks = tuple(baselines(TINY, Selection(), "results.json"))
    bills = on_platform(fitted(hosts, "", WEIGHTS, networks, hosts.machine), load_profiles("x86_cpu")[0].profile)
    if hosts.machine.architecture == "x86_64":
        assert bills is not None
        assert bills.refusals == ()
        assert {bill.basis for bill in bills.bills} == {BY_COUNTER}


def test_recordings_of_ones_own_are_measured_on(encoder: Path, tmp_path: Path) -> None:
    write_random_recording(tmp_path / "own" / "0.bin", 0)
    found, _ = contenders(encoder, tmp_path, [tmp_path / "own"])
    assert len(found[0].frames) == 64
    assert (found[0].frames == found[0].frames[:1]).all()
    (tmp_path / "nothing").mkdir()
    with pytest.raises(RecordingError, match="holds no recording"):
        contenders(encoder, tmp_path, [tmp_path / "nothing"])


def test_a_report_measures_on_request(
    call: Call, tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "Plan", functools.partial(Plan, rounds=1, seconds=0.01))
    out = tmp_path / "out"
    done = call(command.main, encoder, "--platforms", "x86_cpu", "--measure", "--out", out)
    assert done.code == 0, done.err
    report = read_report(out / "report.json")
    assert report.hosts is not None
    assert {run.encoder for run in report.hosts.runs} == {encoder.name}
    assert x86(report).measured


def test_bad_measurements_are_one_line_and_leave_nothing(
    call: Call, tmp_path: Path, encoder: Path, hosts: Hosts
) -> None:
    path, out = tmp_path / "hosts.json", tmp_path / "out"
    path.write_text(sealed_json(hosts.to_json()))
    other, damaged, none = (tmp_path / f"{name}.json" for name in ("other", "damaged", "none"))
    cpu = hosts.machine.model_copy(update={"cpu": "Some other CPU"})
    other.write_text(sealed_json(hosts.model_copy(update={"machine": cpu}).to_json()))
    damaged.write_text(path.read_text().replace('"median": ', '"median": 1', 1))
    for words, message in (
        ((encoder, "--hosts", path, "--measure"), "--measure both given"),
        ((encoder, "--hosts", other), "other.json: measured on Some other CPU"),
        ((encoder, "--hosts", damaged), "damaged.json: "),
        ((encoder, "--hosts", none), "none.json: cannot be read"),
        (("digits", "--hosts", path), f"measured of small.onnx ({SHA256[:12]}, integer), not of checkpoint"),
        (("--measure",), "--measure: nothing to measure"),
        ((encoder.with_suffix(".nir"), "--measure"), "what runs on a processor is the ONNX model"),
    ):
        done = call(command.main, *words, "--platforms", "x86_cpu", "--out", out)
        assert (done.code, done.err.count("\n")) == (2, 1), words
        assert message in done.err
        assert not out.exists()
