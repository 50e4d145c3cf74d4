"""``report`` and ``place`` take checkpoints and ONNX models: lowered on the way, as export.to_nir does."""

import json
from pathlib import Path

import onnx
import pytest

from deploy.backends.as_nir import as_nir
from deploy.energy.mapping.__main__ import main as place
from deploy.report.__main__ import main as report
from export.encoder.integer import KEY
from export.encoder.network import load_network
from export.nir.to_nir import export_nir
from export.onnx.to_onnx import export_onnx
from spikinghash.errors import GraphError
from tests.commands import Call
from tests.networks import TINY, calibrated
from tests.test_extras import without_extras
from training.checkpoint import Checkpoint, save_checkpoint
from training.config import Config
from training.data.digits import write_recordings

KINDS = ("nir", "onnx", "pt")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One network in every form, by suffix; under ``float`` an ONNX model of its float numbers."""
    folder = tmp_path_factory.mktemp("network")
    found = {kind: folder / f"encoder.{kind}" for kind in KINDS} | {"float": folder / "float.onnx"}
    save_checkpoint(found["pt"], Checkpoint(Config(encoder=TINY), calibrated(TINY).state_dict(), 1, {}))
    export_nir(load_network(found["pt"]), found["nir"])
    export_onnx(load_network(found["pt"]), found["onnx"])
    export_onnx(load_network(found["pt"], "float"), found["float"])
    return found


def test_every_kind_is_lowered_to_the_bytes_of_the_exported_graph(files: dict[str, Path]) -> None:
    for kind in KINDS:
        with as_nir(files[kind]) as path:
            assert path.name == "encoder.nir"
            assert path.read_bytes() == files["nir"].read_bytes(), kind
        assert path.exists() == (kind == "nir")


def test_reports_and_placements_are_those_of_the_exported_graph(
    call: Call, files: dict[str, Path], tmp_path: Path
) -> None:
    write_recordings(tmp_path / "recordings", range(2))
    given = ("--recordings", tmp_path / "recordings", "--profiles", "loihi2,cmos_45nm")
    reports, placements = [], []
    for kind in KINDS:
        assert call(report, files[kind], *given, "--out", tmp_path / kind).code == 0
        reports.append((tmp_path / kind / "report.json").read_bytes())
        placements.append(json.loads(call(place, files[kind], "--json").out) | {"network": ""})
    assert reports[1:] == reports[:1] * 2
    assert placements[1:] == placements[:1] * 2
    assert call(report, files["pt"], "--counts", tmp_path / "nir" / "counts.json", "--out", tmp_path / "out").code == 0


def test_what_cannot_be_lowered_is_one_line(call: Call, files: dict[str, Path], tmp_path: Path) -> None:
    def refused(path: Path) -> str:
        done = call(place, path)
        (line,) = done.err.splitlines()
        assert done.code == 2
        return line

    assert "float.onnx: it holds float numbers and no integer network" in refused(files["float"])
    assert "digitz: no such file; by name there are digits, nmnist; did you mean 'digits'?" in refused(Path("digitz"))
    assert "no.onnx: cannot be read" in refused(tmp_path / "no.onnx")
    model = onnx.load(files["onnx"])
    properties = {each.key: each.value for each in model.metadata_props if each.key in ("spikinghash", KEY)}
    for key, text in (
        ("spikinghash", properties["spikinghash"].replace('"channels":[4,8]', '"channels":[8,8]')),
        ("spikinghash", properties["spikinghash"].replace('"vote":null', '"vote":1')),
        (KEY, "{}"),
    ):
        assert text != properties[key]
        onnx.helper.set_model_props(model, properties | {key: text})
        onnx.save(model, tmp_path / "odd.onnx")
        assert f"{tmp_path / 'odd.onnx'}: " in refused(tmp_path / "odd.onnx")


def test_an_error_behind_the_lowering_names_the_encoder(files: dict[str, Path]) -> None:
    with pytest.raises(GraphError, match=f"^{files['onnx']}: too large$"), as_nir(files["onnx"]) as path:
        raise GraphError(f"{path}: too large")


def test_lowering_without_its_extra_is_told_in_one_line(files: dict[str, Path]) -> None:
    script = "sys.argv[1:] = ['place', sys.argv[1]]\nfrom spikinghash.__main__ import main\nmain()"
    done = without_extras(script, str(files["onnx"]))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: torch is not installed, which this needs: pip install 'spikinghash[")
    assert without_extras(script, str(files["nir"])).returncode in (0, 1)
