"""The walk of docs/own-recordings.md, command by command as the page has it."""

import re
import sys
from pathlib import Path

import pytest
from own_recordings import CONFIG, write_sessions

from spikinghash.__main__ import main
from tests.commands import Call
from training.checkpoint import load_checkpoint
from training.config import load_config
from training.try_windows import main as try_windows

PAGE = Path(__file__).resolve().parents[1] / "docs" / "own-recordings.md"


def commands() -> list[str]:
    """All commands of the page, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_the_config_for_own_recordings_begins_with_a_network_of_its_shapes(tmp_path: Path) -> None:
    copied = tmp_path / "own.toml"
    copied.write_text((PAGE.parents[1] / "configs" / "folder.toml").read_text())
    config = load_config(copied)
    assert config.data.root == tmp_path / "recordings"
    assert config.train.start is not None
    begins = load_checkpoint(config.train.start).config.encoder
    assert begins.model_copy(update={"size": config.encoder.size}) == config.encoder  # no weight depends on it


@pytest.mark.usefixtures("cache_folder")
def test_the_page_leads_from_a_folder_to_a_figure_an_index_and_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sessions(tmp_path / "recordings", 48, 1.0, 3, ("bar", "ring"))
    (tmp_path / "own.toml").write_text(CONFIG.format(root="recordings", epochs=1))
    monkeypatch.chdir(tmp_path)
    said = {}
    for line in commands():
        monkeypatch.setattr(sys, "argv", line.split())
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert end.value.code in (0, None), f"{line}: {printed.err}"
        said[" ".join(line.split()[1:3])] = printed.out
    assert "class bar: 6 files in 2 folders" in said["info recordings"]
    assert re.search(r"suggested: data\.window_ms = \d+, the longest", said["windows recordings"])
    assert re.search(r"test mAP 0\.\d+ \(chance 0\.\d+; bar 0\.\d+, ring 0\.\d+\)", said["train --config"])
    assert "mAP of chance" in said["evaluate runs/own/last.pt"]
    assert len(said["run own.onnx"].splitlines()) == 5
    assert "60 codes in all" in said["search build"]
    assert "class bar" in said["search eval"]
    assert "compared on 8 of recordings" in said["verify runs/own/last.pt"]
    for name in ("nearest.html", "idx/manifest.sqlite", "report/report.html", "own.nir"):
        assert (tmp_path / name).stat().st_size > 0
    report = (tmp_path / "report" / "report.html").read_text()
    assert "recordings" in report
    assert "not measured" in report
    assert "digits, simulated" not in report


@pytest.mark.usefixtures("cache_folder")
def test_lengths_are_tried_with_a_config_that_comes_along(call: Call, tmp_path: Path) -> None:
    """By its name, on recordings of a sensor that neither they nor the config tell."""
    write_sessions(tmp_path / "recordings", side=48, seconds=0.5, files=2, things=("bar", "ring"))
    given = (tmp_path / "recordings", "--sensor", "48x48", "--lengths", "200,900", "--epochs", 1)
    done = call(try_windows, *given, "--config", "folder")
    assert done.code == 0, done.err
    short, long = (line for line in done.out.splitlines() if " ms" in line and "│" in line)
    assert re.search(r" 0\.\d{3} ", short)
    assert "nan" in long  # no recording is so long
    done = call(try_windows, *given, "--config", "no-such")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "no-such" in done.err
