"""Set-up: the environments that are there, how they are built, and how a Python 3.10 is found."""

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*")
LIST_PACKAGES = """
import importlib.metadata, json
print(json.dumps({found.metadata["Name"]: found.version for found in importlib.metadata.distributions()}))
"""


def pin_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def pins(path: Path) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in pin_lines(path))}


def installed(python: Path) -> dict[str, str]:
    """Versions by name, without local suffixes such as torch's ``+cpu``."""
    listed = json.loads(subprocess.run([python, "-c", LIST_PACKAGES], capture_output=True, check=True).stdout)
    return {canonicalize_name(name): version.split("+")[0] for name, version in listed.items()}


@pytest.fixture
def setup() -> ModuleType:
    """The set-up script as a fresh module."""
    spec = importlib.util.spec_from_file_location("setup_environments", ROOT / "spikinghash" / "environments.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["setup_environments"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


# --- pins -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(ROOT.glob("constraints*.txt")), ids=lambda path: path.name)
def test_pins_are_exact_and_name_no_address(path: Path) -> None:
    lines = pin_lines(path)
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    assert len(pins(path)) == len(lines)


def test_every_requirement_of_the_project_is_pinned_to_a_version_that_it_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = pins(ROOT / "constraints.txt")
    named = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    requirements = [one for one in map(Requirement, named) if one.name != project["name"]]
    assert [str(r) for r in requirements if pinned[canonicalize_name(r.name)] not in r.specifier] == []


@pytest.mark.parametrize(("folder", "constraints"), [(".venv", ""), (".venv-lava", "-lava")])
def test_an_environment_holds_the_pinned_versions(folder: str, constraints: str) -> None:
    pinned = pins(ROOT / f"constraints{constraints}.txt")
    tools = {"pip", "setuptools", "spikinghash"}
    cuda = re.compile("nvidia-.*|cuda-.*|triton")  # where torch brings them, it pins them
    found = {
        name: version for name, version in installed(ROOT / folder / "bin" / "python").items() if name not in tools
    }
    assert {name: version for name, version in found.items() if not cuda.fullmatch(name)}.items() <= pinned.items()
    assert len(found) > 10


def test_the_lava_environment_has_lava_on_python_3_10_and_no_torch() -> None:
    python = ROOT / ".venv-lava" / "bin" / "python"
    code = "import sys, importlib.util as u, lava.proc.lif.process; print(sys.version_info[:2], u.find_spec('torch'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(3, 10) None"


def test_all_packages_are_typed_and_installed_from_this_tree() -> None:
    packages = ("spikinghash", "training", "export", "deploy", "hardware_profiles")
    assert all((ROOT / package / "py.typed").exists() for package in packages)
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="spikinghash")
    assert script.value == "spikinghash.__main__:main"


# --- finding a Python 3.10 --------------------------------------------------------------------------------------


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    folder = tmp_path / "commands"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write_command(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def real_310() -> str:
    return f'exec "{ROOT}/.venv-lava/bin/python" "$@"'


def test_a_python_310_on_the_path_is_taken_first(setup: ModuleType, commands: Path, tmp_path: Path) -> None:
    expected = write_command(commands / "python3.10", real_310())
    write_command(commands / "pyenv", f"echo {tmp_path}/pyenv")
    write_command(tmp_path / "pyenv/versions/3.10.13/bin/python", real_310())
    assert setup.find_python_310() == expected


@pytest.mark.parametrize(
    "broken", ["echo 'pyenv: python3.10: command not found' >&2; exit 127", 'exec python "$@"', "echo 3 11"]
)
def test_a_python_310_that_does_not_run_as_one_is_passed_over_for_pyenv(
    setup: ModuleType, commands: Path, tmp_path: Path, broken: str
) -> None:
    write_command(commands / "python3.10", broken)
    write_command(commands / "pyenv", f"[ $1 = root ] && echo {tmp_path}/pyenv")
    write_command(tmp_path / "pyenv/versions/3.10.2/bin/python", "exit 1")
    expected = write_command(tmp_path / "pyenv/versions/3.10.13/bin/python", real_310())
    write_command(tmp_path / "pyenv/versions/3.11.7/bin/python", real_310())
    assert setup.find_python_310() == expected


def test_uv_is_asked_last_and_installs_one_when_it_has_none(setup: ModuleType, commands: Path, tmp_path: Path) -> None:
    expected = tmp_path / "uv" / "python"
    find = f'[ -e "{expected}" ] && echo "{expected}" || exit 2'
    install = f'echo "$*" > "{tmp_path}/asked"; mkdir -p "{expected.parent}"; cp "{commands}/interpreter" "{expected}"'
    (commands / "interpreter").symlink_to(write_command(tmp_path / "real", real_310()))
    path = "PATH=/usr/bin:/bin"
    write_command(commands / "uv", f'{path}; case "$2" in find) {find};; install) {install};; esac')
    assert setup.find_python_310() == expected
    assert (tmp_path / "asked").read_text().strip() == "python install 3.10"


def test_without_a_python_310_the_error_names_the_remedy(setup: ModuleType, commands: Path) -> None:
    with pytest.raises(setup.SetupError, match=r"no Python 3\.10 found.*pyenv install 3\.10.*uv python install 3\.10"):
        setup.find_python_310()


def test_an_unsuitable_python_is_refused_by_make(tmp_path: Path) -> None:
    write_command(tmp_path / "python3", "exit 1")
    make = "/usr/bin/make"
    done = subprocess.run(
        [make, "-C", ROOT, "setup"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "error: no Python 3.11, 3.12 or 3.13 found; install one" in done.stderr


def test_an_unknown_environment_is_refused(setup: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert setup.main(["lavva"]) == 2
    assert capsys.readouterr().err == "error: 'lavva' is no environment; use main, lava, interop\n"


# --- building ---------------------------------------------------------------------------------------------------


def write_wheel(folder: Path, version: str) -> None:
    """A package ``tiny`` with one line of code, as a wheel."""
    info = f"tiny-{version}.dist-info"
    with zipfile.ZipFile(folder / f"tiny-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"tiny.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_an_environment_is_built_once_updated_on_new_pins_and_rebuilt_when_broken(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "home", lambda: tmp_path)
    for version in ("1.0", "2.0"):
        write_wheel(tmp_path, version)
    pin_file = tmp_path / "pins.txt"
    local = ("--no-index", "--find-links", str(tmp_path), "--requirement", str(pin_file))
    environment = setup.Environment(tmp_path / "env", setup.this_python, (local,), pin_file)
    monkeypatch.setattr(setup, "environments", lambda: {"tiny": environment})
    marker = environment.folder / "marker"
    built = []
    build = setup.build
    monkeypatch.setattr(setup, "build", lambda environment: (built.append(1), build(environment)))

    def version_after_set_up() -> str:
        setup.set_up(["tiny"])
        return setup.output_of(str(environment.python), "-c", "import tiny; print(tiny.VERSION)")

    pin_file.write_text("tiny==1.0\n")
    assert version_after_set_up() == "1.0"
    assert version_after_set_up() == "1.0"
    assert len(built) == 1  # the second call had nothing to do
    marker.touch()

    pin_file.write_text("tiny==2.0\n")
    assert version_after_set_up() == "2.0"
    assert marker.exists()  # brought up to date in place

    pin_file.write_text("tiny==3.0\n")
    with pytest.raises(setup.SetupError, match="env: pip install failed, see above"):
        setup.set_up(["tiny"])
    assert not environment.stamp.exists()

    pin_file.write_text("tiny==2.0\n")
    assert version_after_set_up() == "2.0"
    assert not marker.exists()  # an environment whose build failed is built anew


def test_an_environment_in_another_place_is_another_environment(setup: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pins.txt").touch()
    here, there = (setup.Environment(tmp_path / name, setup.this_python, (), tmp_path / "pins.txt") for name in "ab")
    assert here.fingerprint() != there.fingerprint()


def test_an_environment_whose_interpreter_is_gone_is_not_ready(setup: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pins.txt").touch()
    environment = setup.Environment(tmp_path / "env", setup.this_python, (), tmp_path / "pins.txt")
    write_command(environment.python, f'exec "{sys.executable}" "$@"')
    environment.stamp.write_text(environment.fingerprint())
    assert setup.is_ready(environment)
    environment.python.unlink()
    assert not setup.is_ready(environment)


# --- make -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["demo", "test", "lint", "checkpoint", "eval", "interop", "bench"])
def test_every_target_that_runs_something_sets_up_first(target: str) -> None:
    planned = subprocess.run(["make", "-n", "-C", ROOT, target], capture_output=True, text=True, check=True).stdout
    assert planned.index("setup_environments.py main lava") < planned.index(".venv")


def test_help_tells_every_target() -> None:
    shown = subprocess.run(["make", "-s", "-C", ROOT, "help"], capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert sorted(line.split()[0] for line in shown.splitlines()) == sorted(phony[1].split())
