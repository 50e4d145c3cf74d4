"""Faults that every command has to survive: disks, places and permissions; signals at random moments.

``setpriv --bounding-set=-dac_override,-dac_read_search python -m benchmarks.faults`` on Linux as root, who mounts a
small disk, and would write anywhere with these capabilities. Each command runs in a fork of this process. It has to end
with exit code 2 and one line, leave what was there before, and nothing else. Ended by a signal, it has to do all of its
work when it is run again, and leave no temporary file after that. Temporary files and caches are its own.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from deploy import demo
from deploy.backends import run as run_command
from deploy.backends import to_nir
from deploy.report import __main__ as report
from deploy.search import __main__ as search
from export.nir import inspect
from export.onnx import to_onnx
from spikinghash.cli import run
from spikinghash.errors import ComparisonError
from training import publish, train
from training.checkpoint import Checkpoint, save_checkpoint
from training.config import EncoderConfig, parse_config
from training.data.digits import write_recordings
from training.model.encoder import Spikinghash

SMALL = EncoderConfig(
    size=16, time_steps=4, channels=(4, 8), blocks=(1, 1), mixers=("swm", "ssa"), levels=(1, 0), heads=(0, 2),
    channels_per_group=2, mlp_ratio=2, bits=8,
)  # fmt: skip
OLD = b"what was there before"


@dataclass(frozen=True)
class Command:
    """A command that writes ``target``: a file, or a folder."""

    main: Any
    arguments: Callable[[Path], list[object]]
    target: str


def commands(made: Path) -> dict[str, Command]:
    """All commands that write, on the artefacts in ``made``."""
    network, nir, onnx = made / "small.pt", made / "small.nir", made / "small.onnx"
    one = next((made / "recordings").rglob("*.bin"))
    return {
        "to_nir": Command(to_nir.main, lambda out: [network, "-o", out], "out.nir"),
        "to_onnx": Command(to_onnx.main, lambda out: [network, "-o", out], "out.onnx"),
        "publish": Command(publish.main, lambda out: [network, out], "out.pt"),
        "inspect": Command(inspect.main, lambda out: [nir, "-o", out], "out.svg"),
        "run": Command(run_command.main, lambda out: [nir, "--input", made / "x.npz", "--output", out], "out.npz"),
        "report": Command(report.main, lambda out: [nir, "--recordings", one, "--out", out], "report"),
        "build": Command(
            search.main, lambda out: ["build", made / "recordings", "--encoder", onnx, "--index", out], "index"
        ),
        "query": Command(search.main, lambda out: ["query", one, "--index", made / "index", "--html", out], "out.html"),
        "lava": Command(
            run_command.main,
            lambda out: [nir, "--input", made / "x.npz", "--backend", "lava", "--output", out],
            "out.npz",
        ),
        "demo": Command(demo.main, lambda out: ["--out", out], "demo"),
        "train": Command(train.main, lambda out: ["--config", made / "small.toml", "--out", out], "training"),
    }


def make_artefacts(folder: Path) -> None:
    """What the commands read: an untrained checkpoint and its exports, recordings, an index, a config."""
    write_recordings(folder / "recordings" / "NMNIST" / "Train", [500 * k + n for k in range(10) for n in range(5)])
    config = parse_config({"encoder": SMALL.model_dump(), "train": {"epochs": 1}}, "small")
    save_checkpoint(
        folder / "small.pt", Checkpoint(config, Spikinghash(SMALL).state_dict(), 1, {"validation_map": 0.1})
    )
    np.savez(folder / "x.npz", spikes=np.ones((2, 4, 3, 16, 16), np.float32))
    sizes = "\n".join(f"{key} = {value!r}" for key, value in SMALL.model_dump(mode="json").items() if value is not None)
    data = f'[data]\nname = "nmnist"\nroot = "{folder / "recordings"}"\n'
    (folder / "small.toml").write_text(f"{data}[encoder]\n{sizes}\n[train]\nepochs = 3\nbatch_size = 10\n")
    build = ["build", folder / "recordings", "--encoder", folder / "small.onnx", "--index", folder / "index"]
    export = [folder / "small.pt"]
    for arguments in ((to_nir.main, export), (to_onnx.main, export), (search.main, build)):
        code, errors = ended(*started(*arguments))
        if code:
            raise ComparisonError(f"the artefacts cannot be made: {errors}")


def use_own_places(folder: Path) -> None:
    """Temporary files and caches in ``folder``, where nobody else's are."""
    for variable, place in (("TMPDIR", "temporary"), ("XDG_CACHE_HOME", "cache")):
        (folder / place).mkdir()
        os.environ[variable] = str(folder / place)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "cache")  # torch makes it where there is an optimiser
    tempfile.tempdir = None  # it asks the environment anew


def started(main: Any, arguments: list[object]) -> tuple[int, Path]:
    """The command in a fork of this process; its id, and the file of its standard error."""
    handle, name = tempfile.mkstemp(dir="/dev/shm")
    process = os.fork()
    if process == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        sys.argv = ["command", *map(str, arguments)]
        code: Any = 70
        try:
            run(main)
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(int(code or 0))
    os.close(handle)
    return process, Path(name)


def ended(process: int, log: Path) -> tuple[int, str]:
    """Its exit code, or minus the signal that ended it, and what it wrote to standard error."""
    _, status = os.waitpid(process, 0)
    errors = log.read_text(errors="replace")
    log.unlink()
    return os.waitstatus_to_exitcode(status), errors


@contextmanager
def small_disk(at: Path, full: bool) -> Iterator[None]:
    """A disk of its own at ``at``, with what is there; full, or read-only."""
    kept = {path.name: path.read_bytes() for path in at.iterdir() if path.is_file()}
    folders = [path.name for path in at.iterdir() if path.is_dir()]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", at], check=True)
    try:
        for name in folders:
            (at / name).mkdir()
        for name, content in kept.items():
            (at / name).write_bytes(content)
        if full:
            with (at / "filler").open("wb", buffering=0) as file:
                for size in (4096, 1):
                    try:
                        while file.write(bytes(size)) == size:
                            pass
                    except OSError:
                        pass
        else:
            subprocess.run(["mount", "-o", "remount,ro", at], check=True)
        yield
    finally:
        subprocess.run(["umount", at], check=True)


@contextmanager
def unwritable(at: Path) -> Iterator[None]:
    """Whoever this is may not write in ``at``."""
    os.chown(at, 65534, 65534)
    at.chmod(0o555)
    try:
        yield
    finally:
        os.chown(at, os.getuid(), os.getgid())
        at.chmod(0o755)


def survives(command: Command, fault: str, place: Path) -> str:
    """What is wrong with how ``command`` takes the ``fault``; empty if nothing."""
    place.mkdir()
    target, is_file = place / command.target, "." in command.target
    around = {"full": lambda: small_disk(place, True), "read-only": lambda: small_disk(place, False)}
    around["no permission"] = lambda: unwritable(place)
    if fault == "wrong kind":
        target.mkdir() if is_file else target.write_bytes(OLD)
    elif fault == "name too long":
        target = place / ("n" * 300 + command.target)
    elif fault == "below a file":
        (place / "file").write_bytes(OLD)
        target = place / "file" / command.target
    elif is_file:
        target.write_bytes(OLD)

    @contextmanager
    def nothing() -> Iterator[None]:
        yield

    with around.get(fault, nothing)():
        before = contents(place)
        code, errors = ended(*started(command.main, command.arguments(target)))
        after = contents(place)
    told = [line for line in errors.splitlines() if line.startswith("error: ")]
    if code != 2 or len(told) != 1 or "Traceback" in errors:
        return f"exit code {code}: {errors.strip()[-300:]!r}"
    if not is_file:  # its folders may be there, and the lock of an index
        lock = f"{command.target}/lock"
        after = {name: each for name, each in after.items() if name in before or not (each is None or name == lock)}
    return "" if before == after else f"left {sorted(after.keys() ^ before.keys()) or 'other content'}"


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below ``folder``; ``None`` for folders."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def interrupted(command: Command, number: signal.Signals, place: Path, moments: int, chance: random.Random) -> str:
    """What is wrong with how ``command`` takes a signal at random moments; empty if nothing."""
    place.mkdir()
    begin = time.monotonic()
    if ended(*started(command.main, command.arguments(place / "whole" / command.target)))[0]:
        return "it fails without a signal"
    seconds, codes = time.monotonic() - begin, Counter[int]()
    whole = sorted(contents(place / "whole"))
    for moment in range(moments):
        out = place / f"{moment}"
        process, log = started(command.main, command.arguments(out / command.target))
        time.sleep(chance.uniform(0, 0.95 * seconds))
        os.kill(process, number)
        codes[ended(process, log)[0]] += 1
        code, errors = ended(*started(command.main, command.arguments(out / command.target)))
        if code:
            return f"not done when it was run again: exit code {code}: {errors[-300:]!r}"
        if sorted(contents(out)) != whole:
            return f"left {sorted(contents(out).keys() ^ set(whole))}"
        shutil.rmtree(out)
    clean = {0, 143} if number == signal.SIGTERM else {0, -9}
    if left := sorted(path.name for path in Path(tempfile.gettempdir()).iterdir()):
        return f"left {left}"
    return "" if set(codes) <= clean else f"exit codes {dict(codes)}"


FAULTS = ("full", "read-only", "wrong kind", "below a file", "name too long", "no permission")
LONG = ("to_nir", "to_onnx", "report", "build", "train", "lava", "demo")


def main(
    moments: Annotated[int, typer.Option(help="Of each signal and long command.", min=0)] = 20,
    only: Annotated[str, typer.Option(help="Commands, by comma.")] = "",
) -> None:
    """Try all faults on all commands; exit code 1 if one is not survived."""
    torch.set_num_threads(1)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        use_own_places(folder)
        make_artefacts(folder)
        chosen = {key: each for key, each in commands(folder).items() if not only or key in only.split(",")}
        for key, command in chosen.items():
            results = {fault: survives(command, fault, folder / f"{key}-{fault}") for fault in FAULTS}
            for number in (signal.SIGTERM, signal.SIGKILL) if key in LONG and moments else ():
                place = folder / f"{key}-{number.name}"
                results[number.name] = interrupted(command, number, place, moments, random.Random(0))
            for fault, what in results.items():
                print(f"{key:10}{fault:16}{what or 'survived'}", flush=True)
            wrong += sum(map(bool, results.values()))
    if wrong:
        raise ComparisonError(f"{wrong} faults were not survived")


if __name__ == "__main__":
    run(main)
