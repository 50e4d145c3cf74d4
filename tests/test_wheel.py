"""The wheel: installed in an empty environment, in an empty folder, beside the base dependencies alone."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import spikinghash
from spikinghash.extras import EXTRAS
from tests.test_extras import BLOCK

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("spikinghash", "training", "export", "deploy", "hardware_profiles")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy, which has no leftovers of former builds."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-q", "-w", "dist", "."], cwd=source, check=True, timeout=200)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment's folder of commands. It finds the test environment's packages, but none that an extra brings."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=100)
    commands = environment / "bin"
    pip = [sys.executable, "-m", "pip", "--python", commands / "python", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "-q", "--no-deps", "--no-index", wheel], check=True, timeout=100)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (site / "sitecustomize.py").write_text(BLOCK.format(packages=list(EXTRAS)))
    return commands


def started(command: list[str | Path], folder: Path) -> str:
    """What ``command`` prints in ``folder``, where the project is not at hand."""
    hidden = {"PYTHONPATH", "SPIKINGHASH_LAVA_PYTHON"}
    variables = {name: value for name, value in os.environ.items() if name not in hidden}
    variables["XDG_DATA_HOME"] = str(folder / "data")
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_all_files_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert wheel.name.startswith(f"spikinghash-{spikinghash.__version__}-")
    files = [path for name in PACKAGES for path in (wheel.parents[1] / name).rglob("*") if path.is_file()]
    assert len(files) > 300
    needed = {str(path.relative_to(wheel.parents[1])) for path in files if "results" not in path.parts}
    assert needed - held == set()
    assert {f"spikinghash/resources/results/{path.name}" for path in ROOT.glob("docs/*.json")} <= held


def test_the_demo_runs_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    shown = started([installed / "spikinghash", "demo"], tmp_path)
    assert "all 2 give the same codes, bit for bit" in shown
    assert "pip install 'spikinghash[train]'" in shown
    neighbours = [line for line in shown.splitlines() if line.endswith(".bin")][1:]
    assert [line.split()[3] for line in neighbours[:3]] == ["7"] * 3
    assert (tmp_path / "demo" / "neighbours.html").is_file()


def test_three_lines_encode_an_array(installed: Path, tmp_path: Path) -> None:
    script = """
import spikinghash, sys
events = spikinghash.read_events(spikinghash.example("7")).events
code = spikinghash.load("digits").encode(events, sensor=(34, 34))
print(code.tobytes().hex(), "torch" in sys.modules, spikinghash.__file__)
"""
    code, torch, place = started([installed / "python", "-c", script], tmp_path).split()
    assert (code, torch) == ("8ed1c341", "False")
    assert Path(place).is_relative_to(installed.parent)


def test_what_is_missing_is_asked_for_without_a_makefile(installed: Path, tmp_path: Path) -> None:
    script = "from deploy.backends.lava_backend import find_interpreter as f\ntry: f()\nexcept Exception as e: print(e)"
    told = started([installed / "python", "-c", script], tmp_path)
    assert told.startswith(f"no Lava environment at {tmp_path}/data/spikinghash/.venv-lava/bin/python: ")
    assert "run `spikinghash setup-lava`" in told
    assert "setup-lava" in started([installed / "spikinghash", "--help"], tmp_path)


def test_the_page_of_a_browser_is_asked_for_without_a_makefile(installed: Path, tmp_path: Path) -> None:
    """What is told to run is where the wheel has it."""
    command = [installed / "spikinghash", "web", "digits", "."]
    (tmp_path / "7").mkdir()
    shutil.copy(spikinghash.example("7"), tmp_path / "7")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=250)
    assert done.returncode == 2
    assert "make web" not in done.stderr
    (copied,) = (word for word in done.stderr.split() if word.endswith("package.json"))
    assert Path(copied).is_relative_to(installed.parent)
    assert Path(copied).is_file()
