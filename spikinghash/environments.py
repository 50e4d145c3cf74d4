"""Build the project's environments: ``python3 scripts/setup_environments.py [NAME...]``, or ``spikinghash setup-lava``.

``main``     .venv          Python 3.11 to 3.13   training, export, deployment
``lava``     .venv-lava     Python 3.10           the Lava simulator, whose last release runs on no other Python
``interop``  .venv-interop  Python 3.11 to 3.13   foreign simulators, for the interoperability tests

Without names: main and lava. They are in the project's folder; where the package was installed without one, Lava's is
in the user's data folder, and is the only one. An environment that is up to date is left alone; one whose pins have
changed is brought up to date; one whose build was interrupted, whose folder was moved or whose interpreter is gone is
built anew. In the project's folder only the standard library is needed.
"""

import contextlib
import fcntl
import hashlib
import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
STAMP = "setup-complete"

MAIN_VERSIONS = ((3, 11), (3, 12), (3, 13))
LAVA_VERSIONS = ((3, 10),)

_ABOUT_INTERPRETER = "import ensurepip, sys, venv; print(*sys.version_info[:2])"
_NO_PYTHON_310 = (
    "no Python 3.10 found, which the Lava simulator needs; looked for python3.10 on PATH, pyenv's versions/3.10* and "
    "uv; install one (for example: pyenv install 3.10, or: uv python install 3.10) and run the command again"
)
_NO_PYTHON_311 = (
    "this is Python {version}, 3.11, 3.12 or 3.13 with its venv module is needed; install one "
    "(on Debian: python3 and python3-venv) and name it: make PYTHON=/path/to/python3.12"
)


class SetupError(Exception):
    """An environment cannot be built. The message is one line that names the remedy."""


@dataclass(frozen=True)
class Environment:
    """One environment and what goes into it."""

    folder: Path
    find_python: Callable[[], Path]
    installs: tuple[tuple[str, ...], ...]
    """Arguments of each ``pip install``."""
    pins: Path
    """The file of pins that ``installs`` name."""

    @property
    def python(self) -> Path:
        """The interpreter inside the environment."""
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """The file that is there when the environment is complete; it holds ``fingerprint``."""
        return self.folder / STAMP

    def fingerprint(self) -> str:
        """Changes with the pins, the requirements and the place of the folder, which is written in many of its files.

        Raises:
            SetupError: the file of pins cannot be read.
        """
        try:
            parts = (self.pins.read_text(), self.installs, str(self.folder))
        except OSError as error:
            raise SetupError(
                f"{self.pins}: cannot be read: {error.strerror}; restore it from version control"
            ) from None
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def in_checkout() -> bool:
    """Whether this package lies in the project's folder, rather than among installed ones."""
    return (ROOT / "scripts" / "setup_environments.py").is_file()


def home() -> Path:
    """The folder of the environments."""
    if in_checkout():
        return ROOT
    import platformdirs  # in a checkout it may not be installed yet

    return platformdirs.user_data_path("spikinghash")


def lava_environment() -> Environment:
    """The environment of the Lava simulator."""
    pins = (ROOT if in_checkout() else Path(__file__).parent / "resources") / "constraints-lava.txt"
    return Environment(home() / ".venv-lava", find_python_310, (("--requirement", str(pins)),), pins)


def environments() -> dict[str, Environment]:
    """The project's environments by name."""
    if not in_checkout():
        return {"lava": lava_environment()}
    main_pins, interop_pins = (ROOT / f"constraints{kind}.txt" for kind in ("", "-interop"))
    project = ("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    main = ("--constraint", str(main_pins), *project_requirements(), "setuptools")
    torch = ("--constraint", str(interop_pins), "torch")  # with what it needs; the simulators would bring torchvision
    simulators = (
        "--constraint",
        str(interop_pins),
        "--no-deps",
        "--requirement",
        str(ROOT / "requirements-interop.txt"),
    )
    return {
        "main": Environment(ROOT / ".venv", this_python, (main, project), main_pins),
        "lava": lava_environment(),
        "interop": Environment(ROOT / ".venv-interop", this_python, (torch, simulators), interop_pins),
    }


def project_requirements() -> list[str]:
    """What the project, all its extras and its development need, from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = itertools.chain.from_iterable(project["optional-dependencies"].values())
    return [*project["dependencies"], *(each for each in extras if not each.startswith(f"{project['name']}["))]


# --- finding interpreters ---------------------------------------------------------------------------------------


def this_python() -> Path:
    """The interpreter that runs this script, or the one below it if that is an environment's.

    Raises:
        SetupError: it is too old, too new, or cannot make environments.
    """
    path = Path(getattr(sys, "_base_executable", sys.executable))
    if not runs(path, MAIN_VERSIONS):
        raise SetupError(_NO_PYTHON_311.format(version=".".join(map(str, sys.version_info[:3]))))
    return path


def find_python_310() -> Path:
    """A Python 3.10 that runs: from PATH, from pyenv, or through uv.

    Raises:
        SetupError: there is none.
    """
    for path in python_310_candidates():
        if runs(path, LAVA_VERSIONS):
            return path
    raise SetupError(_NO_PYTHON_310)


def python_310_candidates() -> Iterator[Path]:
    """Where a Python 3.10 may be, best first. pyenv's ``python3.10`` on PATH may be a shim that does not run."""
    if on_path := shutil.which("python3.10"):
        yield Path(on_path)
    if root := output_of("pyenv", "root"):
        yield from sorted(Path(root).glob("versions/3.10*/bin/python"), reverse=True)
    if found := output_of("uv", "python", "find", "3.10"):
        yield Path(found)
    if shutil.which("uv"):
        print("no Python 3.10 on this machine: asking uv for one", flush=True)
        subprocess.run(["uv", "python", "install", "3.10"], check=False)
        if found := output_of("uv", "python", "find", "3.10"):
            yield Path(found)


def runs(python: Path, versions: Sequence[tuple[int, int]]) -> bool:
    """Whether ``python`` starts, is of one of ``versions``, and can make environments."""
    version = output_of(str(python), "-c", _ABOUT_INTERPRETER)
    return version in {f"{major} {minor}" for major, minor in versions}


def output_of(*command: str) -> str:
    """What ``command`` prints, stripped; empty if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


# --- building ---------------------------------------------------------------------------------------------------


def is_ready(environment: Environment) -> bool:
    """Whether the environment is complete, up to date, and its interpreter starts."""
    try:
        stamped = environment.stamp.read_text()
    except OSError:
        return False
    return stamped == environment.fingerprint() and bool(output_of(str(environment.python), "-c", "print(1)"))


def build(environment: Environment) -> None:
    """Bring the environment up to date; its stamp is away while it is not complete.

    Raises:
        SetupError: there is no interpreter for it, or an installation failed.
    """
    complete = environment.stamp.exists() and bool(output_of(str(environment.python), "-m", "pip", "--version"))
    if complete:
        environment.stamp.unlink()
    else:
        create(environment)
    for arguments in environment.installs:
        pip_install(environment, arguments)
    environment.stamp.write_text(environment.fingerprint())


def create(environment: Environment) -> None:
    """Make the environment anew, with nothing but pip in it."""
    python = environment.find_python()
    shutil.rmtree(environment.folder, ignore_errors=True)
    if subprocess.run([python, "-m", "venv", environment.folder], check=False).returncode:
        raise SetupError(
            f"{environment.folder}: {python} -m venv failed, see above; check the disk and its venv module"
        )


def pip_install(environment: Environment, arguments: Sequence[str]) -> None:
    """Run ``pip install`` in the environment; its progress goes to the terminal."""
    command = [str(environment.python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", *arguments]
    if subprocess.run(command, check=False).returncode:
        raise SetupError(
            f"{environment.folder.name}: pip install failed, see above; check the network and the disk and run the "
            "command again"
        )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time build environments."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another set-up is running: waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def set_up(names: Sequence[str]) -> None:
    """Build what is missing of the environments ``names``.

    Raises:
        SetupError: a name is unknown, or an environment cannot be built.
    """
    known = environments()
    if unknown := [name for name in names if name not in known]:
        raise SetupError(f"{unknown[0]!r} is no environment; use {', '.join(known)}")
    with locked(home() / ".setup.lock"):
        for number, name in enumerate(names, start=1):
            environment = known[name]
            if is_ready(environment):
                continue
            start = time.monotonic()
            print(f"[{number}/{len(names)}] building {environment.folder.name} ({name})", flush=True)
            build(environment)
            print(
                f"[{number}/{len(names)}] {environment.folder.name} is ready ({time.monotonic() - start:.0f} s)",
                flush=True,
            )


def main(names: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    try:
        set_up(names or ("main", "lava"))
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: run the command again to go on", file=sys.stderr)
        return 130
    return 0
