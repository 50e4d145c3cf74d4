"""The C program compiled on this machine, and its codes and counts compared with those of the network."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from export.encoder.executor import require_equal_counts
from export.encoder.network import Network, probe_frames
from spikinghash.errors import BackendError, ComparisonError, MissingToolError, in_one_line
from spikinghash.files import private_folder

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror")
PROBES = 8
_SECONDS = 300


class Result(NamedTuple):
    """What the program printed of B recordings."""

    codes: NDArray[Any]
    """Packed codes (B, K/8), or of a classification head the spikes of each class (B, K)."""
    counts: NDArray[np.int64]
    """Spikes of each population, (B, P)."""


def find_compiler() -> str:
    """The C compiler of this machine.

    Raises:
        MissingToolError: there is none.
    """
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    if found is None:
        raise MissingToolError(
            f"no C compiler on the PATH (looked for {', '.join(COMPILERS)}), and C is written only where it can be "
            "checked: install one, such as the package gcc"
        )
    return found


def compile_program(folder: Path, compiler: str, flags: Sequence[str] = ()) -> Path:
    """The program of the files in ``folder``, with counts of spikes.

    Raises:
        BackendError: the compiler does not take it.
    """
    program = folder / "encode"
    sources = [str(folder / name) for name in ("encoder.c", "main.c")]
    call([compiler, *FLAGS, *flags, "-DENCODER_TRACE", *sources, "-o", str(program)])
    return program


def call(command: Sequence[str]) -> str:
    """What ``command`` prints.

    Raises:
        BackendError: it fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise BackendError(f"{Path(command[0]).name}: no end after {_SECONDS} s: use a smaller network") from None
    if done.returncode:
        said = in_one_line(RuntimeError(done.stderr or f"exit code {done.returncode}"))
        raise BackendError(f"{Path(command[0]).name} failed on the C program: {said}")
    return done.stdout


def run_program(program: Path, frames: NDArray[np.uint8]) -> Result:
    """Codes and counts of frames (B, T, 2, H, W)."""
    recordings = program.with_name("recordings")
    recordings.write_bytes(np.packbits(frames.reshape(len(frames), -1), axis=1).tobytes())
    return parse(call([str(program), str(recordings)]))


def parse(printed: str) -> Result:
    """Lines of a code and of counts."""
    lines = [line.split() for line in printed.splitlines()]
    codes = np.array([_answer(code) for code, *_ in lines])
    return Result(codes, np.array([[int(count) for count in counts] for _, *counts in lines], np.int64))


def _answer(text: str) -> list[int]:
    """Bytes in hex, or numbers between commas."""
    return list(map(int, text.split(","))) if "," in text else list(bytes.fromhex(text))


def check(network: Network, files: dict[str, str]) -> None:
    """Compile ``files``, run them on probe recordings and compare every code and count with ``network``.

    Raises:
        ComparisonError: they differ.
        MissingToolError: there is no compiler.
    """
    compiler = find_compiler()
    frames = probe_frames(network.config, PROBES)
    with private_folder("snh-c-") as folder:
        for name, content in files.items():
            (folder / name).write_text(content)
        compare(network, frames, run_program(compile_program(folder, compiler), frames))


def compare(network: Network, frames: NDArray[np.uint8], result: Result) -> None:
    """Raise a ComparisonError where the program gives other codes or counts than ``network``."""
    executor = network.executor()
    with torch.no_grad():
        codes, wanted = (each.numpy() for each in executor(torch.from_numpy(frames)))
    require_equal_counts("the C program", executor.populations, result.counts, wanted)
    if not np.array_equal(result.codes, codes):
        raise ComparisonError("the C program gives other codes than the network; nothing was written")
