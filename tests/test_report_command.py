"""``python -m deploy.report`` as a command: files, equal bytes, bad input, the comparison of two reports."""

import dataclasses
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from energy_cases import small_counts
from networks import TINY
from report_cases import SHA256, report_of

from deploy.report.__main__ import main, write_report
from deploy.report.inputs import read_counts
from deploy.report.model import read_report
from export.synaptic.counting import trace_counts
from export.synaptic.counts import network_id
from hardware_profiles.loader import load_profiles
from spikinghash.errors import RecordingError
from tests.commands import Call
from training.data.frames import load_dataset
from training.data.sampling import recording_files

FILES = ["counts.json", "report.csv", "report.html", "report.json"]


@pytest.fixture
def counts_file(tmp_path: Path) -> Path:
    path = tmp_path / "trace.json"
    path.write_text(small_counts().to_json())
    return path


def test_equal_inputs_give_equal_bytes(tmp_path: Path, counts_file: Path) -> None:
    for name, option in (("1", "--profiles"), ("2", "--platforms")):
        arguments = ["--counts", str(counts_file), option, "cmos_45nm,loihi1", "--out", str(tmp_path / name)]
        done = subprocess.run(
            [sys.executable, "-m", "deploy.report", *arguments],
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
            env={**os.environ, "PYTHONHASHSEED": name, "PYTHONWARNINGS": "ignore"},
        )
        assert done.returncode == 0, done.stderr
        assert "A code takes" in done.stdout
        assert "Lower bounds: terms without a published price" in done.stdout
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == FILES
    for name in FILES:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert json.loads((tmp_path / "1" / "report.json").read_text())["search"] is None


def test_a_whole_report_is_the_same_when_made_again() -> None:
    assert report_of().to_json() == report_of().to_json()


@pytest.fixture
def command(call: Call) -> Call:
    """Runs ``deploy.report``."""
    return partial(call, main)


def refused(command: Call, out: Path, *arguments: object) -> str:
    """The one line of a refused command, which must leave nothing behind."""
    done = command(*arguments, "--out", out)
    assert done.code == 2
    assert not out.exists()
    (line,) = done.err.strip().splitlines()
    return line


def test_bad_input_is_one_line_and_leaves_nothing(command: Call, tmp_path: Path, counts_file: Path) -> None:
    out, given = tmp_path / "out", ("--counts", counts_file)
    assert "nowhere.json: cannot be read" in refused(command, out, "--counts", tmp_path / "nowhere.json")
    assert "no network" in refused(command, out)
    assert "--counts and --recordings" in refused(command, out, *given, "--recordings", tmp_path)
    assert "a.json: cannot be read" in refused(command, out, "--compare", "a.json", "b.json")
    counts_file.write_text("{")
    assert "trace.json:1: not JSON" in refused(command, out, *given)


def test_a_profile_with_a_negative_price_is_refused(command: Call, tmp_path: Path, counts_file: Path) -> None:
    text = Path(load_profiles("loihi1")[0].path).read_text().replace("value = 81", "value = -81")
    mine = tmp_path / "mine.toml"
    mine.write_text(text)
    line = text[: text.index("value = -81")].count("\n") + 1
    message = refused(command, tmp_path / "out", "--counts", counts_file, "--profiles", f"cmos_45nm,{mine}")
    assert f"{mine}:{line}: energy.neuron_update_active.0.value" in message


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained encoder of TINY's sizes."""
    pytest.importorskip("torch")
    from export.encoder.network import build_network
    from export.nir.to_nir import export_nir
    from training.model.encoder import Spikinghash

    path = tmp_path_factory.mktemp("encoder") / "encoder.nir"
    model = Spikinghash(TINY).eval()
    export_nir(build_network(model, checkpoint_sha256=SHA256, dataset="digits"), path)
    return path


TORCH = pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # norse scripts on import


@TORCH
def test_a_trace_of_another_network_is_refused(command: Call, tmp_path: Path, counts_file: Path, encoder: Path) -> None:
    message = refused(command, tmp_path / "out", encoder, "--counts", counts_file)
    assert "traced from small.nir" in message
    assert network_id(encoder) in message


@TORCH
def test_an_encoder_of_a_former_version_is_refused(command: Call, tmp_path: Path, encoder: Path) -> None:
    from export.nir.metadata import read_encoder, write_nir

    graph, metadata = read_encoder(encoder)
    write_nir(tmp_path / "old.nir", graph, metadata.model_copy(update={"work": None}))
    given = (tmp_path / "old.nir", "--recordings", _recordings(tmp_path), "--profiles", "cmos_45nm")
    assert "old.nir: lacks the work of the encoder" in (line := refused(command, tmp_path / "out", *given))
    assert "export it again" in line
    sizes = metadata.encoder | {"channels": [0.5]}
    write_nir(tmp_path / "odd.nir", graph, metadata.model_copy(update={"encoder": sizes}))
    assert "odd.nir: its metadata's encoder.channels.0" in refused(command, tmp_path / "out", tmp_path / "odd.nir")


@TORCH
def test_results_are_checked_and_attached(command: Call, tmp_path: Path, encoder: Path) -> None:
    out, results = tmp_path / "out", tmp_path / "results.json"
    recordings = _recordings(tmp_path)
    row: dict[str, Any] = {"name": "ours", "dataset": "digits", "bits": 8, "map": [0.9], "kind": "spikinghash_integer"}
    results.write_text(json.dumps([row, row | {"map": [1.5]}]))
    given = (encoder, "--recordings", recordings, "--profiles", "cmos_45nm", "--results", results)
    assert "results.json: row 2: map.0: " in refused(command, out, *given)
    results.write_text("[")
    assert "results.json: " in refused(command, out, *given)
    assert "no.json: cannot be read" in refused(command, out, *given[:-1], tmp_path / "no.json")
    mine, other = {"checkpoints": [SHA256]}, {"encoder": {"channels": [1, 2]}}
    wide, twin = {"name": "wide"}, {"name": "a twin", "kind": "ann_twin_1"}
    results.write_text(json.dumps([row | mine, row | wide, row | twin | other]))
    assert command(*given, "--out", out)[0] == 0
    report = read_report(out / "report.json")
    assert [each.name for each in report.spiking.maps] == ["ours"]
    (note,) = (line for line in report.notes if "for another encoder" in line)
    assert "has a twin for another encoder" in note
    assert report.spiking.id == network_id(encoder)
    assert report.spiking.traced == str(recordings)
    assert 0.2 < report.spiking.window_s < 0.4
    assert report.spiking.synops > 0
    again = (encoder, "--counts", out / "counts.json", *given[3:])
    assert command(*again, "--out", tmp_path / "again")[0] == 0
    assert (tmp_path / "again" / "report.html").read_bytes() == (out / "report.html").read_bytes()


@TORCH
def test_a_platform_is_billed_for_the_cheaper_form_that_it_runs(command: Call, tmp_path: Path) -> None:
    from export.encoder.network import build_network
    from export.nir.to_nir import export_nir
    from tests.networks import SMALL, calibrated

    network = build_network(calibrated(SMALL))
    copied, shared, other = (tmp_path / f"{name}.nir" for name in ("copied", "shared", "other"))
    export_nir(network, copied)
    export_nir(network, shared, streams="shared", biases="neurons")
    export_nir(dataclasses.replace(network, checkpoint_sha256="0" * 64), other)
    given = ("--recordings", _recordings(tmp_path), "--profiles", "loihi1,loihi2,cmos_45nm")

    def figures(*arguments: object) -> dict[str, tuple[str, float | None]]:
        assert command(*arguments, *given, "--out", tmp_path / "out")[0] == 0
        report = read_report(tmp_path / "out" / "report.json")
        return {each.id: (each.form, each.spiking and each.spiking.shown_j) for each in report.platforms}

    one, two, both = figures(copied), figures(shared), figures(copied, "--form", shared)
    assert two["loihi1"][1] is None  # it has no graded spikes
    assert both["loihi1"] == one["loihi1"]
    assert both["loihi2"] == min(one["loihi2"], two["loihi2"], key=lambda each: each[1] or 0.0)
    assert both["cmos_45nm"] == ("", one["cmos_45nm"][1])  # runs what was never lowered
    code, _, message = command(copied, "--form", other, *given)
    assert code == 2
    assert "export both from one checkpoint" in message
    code, _, message = command(copied, "--form", shared, "--counts", tmp_path / "out" / "counts.json")
    assert code == 2
    assert "counts are of one graph alone" in message


@TORCH
@pytest.mark.usefixtures("cache_folder")
def test_pictures_are_traced_as_a_training_sees_them(encoder: Path, tmp_path: Path) -> None:
    folder, generator = tmp_path / "pictures", np.random.default_rng(0)
    for name in ("a/0.png", "a/1.jpg", "b/2.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(generator.integers(0, 256, (20, 24), np.uint8)).save(path)
    read = read_counts(encoder, [folder], None)
    given = load_dataset("images", time_steps=TINY.time_steps, size=TINY.size, root=folder).frames
    wanted = trace_counts(encoder, given, 300_000.0)
    assert dataclasses.replace(read, recordings="").to_json() == wanted.to_json()
    assert read.recordings == f"{folder}; a picture is taken to be shown for 300 ms"


def test_pictures_beside_recordings_are_passed_over(tmp_path: Path) -> None:
    recordings = _recordings(tmp_path)
    files = list(recording_files([recordings]))
    PIL.Image.fromarray(np.eye(20, dtype=np.uint8)).save(recordings / "overview.png")
    assert list(recording_files([recordings])) == files
    assert list(recording_files([recordings / "overview.png"])) == [recordings / "overview.png"]


def _recordings(folder: Path) -> Path:
    from training.data.digits import write_recordings

    write_recordings(folder / "recordings", range(2))
    return folder / "recordings"


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="holds no recording"):
        list(recording_files([tmp_path]))


def test_write_report_replaces_an_earlier_one(tmp_path: Path) -> None:
    data = report_of(profiles="loihi1")
    for _ in range(2):
        write_report(data, small_counts(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    assert read_report(tmp_path / "report.json") == data


def test_two_reports_are_compared(command: Call, tmp_path: Path) -> None:
    counts = small_counts()
    double = dataclasses.replace(counts.layers[3], synops=2 * counts.layers[3].synops)
    changed = dataclasses.replace(counts, layers=(*counts.layers[:3], double))
    for name, traced in (("a", counts), ("b", changed)):
        write_report(report_of(traced, "loihi1,cmos_45nm"), traced, tmp_path / name)
    reports = [tmp_path / name / "report.json" for name in "ab"]
    code, written, _ = command("--compare", *reports, "--out", tmp_path / "out")
    assert code == 0
    assert "Layers that changed most" in written
    comparison = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert comparison["layers"][0]["layer"] == "head"
    before, after = comparison["layers"][0]["synops"]
    assert after == pytest.approx(2 * before, rel=1e-4)  # written with six digits
    assert len(comparison["platforms"]) == 2
