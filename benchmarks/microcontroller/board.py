"""A program for a board that QEMU emulates: built, run, and its instructions counted.

With ``-icount shift=0`` an instruction takes a nanosecond of the emulated time, and SysTick, which runs at the board's
25 or 32 MHz, ticks every 40 or 31.25 instructions: instructions are counted as ticks, plus or minus one. They are no
cycles: QEMU has no model of a pipeline, a cache, or the wait states of a flash. The stack is painted before each code,
and what is not painted any more afterwards was used.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import seconds_of_children
from spikinghash.errors import BackendError, MissingToolError, in_one_line

COMPILER, SIZE, EMULATOR = "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"
PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
FLAGS = ("-std=c99", "-O3", "-mthumb", "-Wall", "-Wextra", "-ffunction-sections", "-fdata-sections")
LIBRARY = (
    "--specs=nano.specs",
    "--specs=rdimon.specs",
    "-nostartfiles",
    "-Wl,--gc-sections",
    "-Wl,--no-warn-rwx-segments",
)
_SECONDS = 300
_EMPTY = """#include "encoder.h"

void encoder_encode(const uint8_t frames[ENCODER_FRAME_BYTES], uint8_t code[ENCODER_CODE_BYTES])
{
    (void)frames;
    (void)code;
}
"""
"""What is left of a program without its encoder."""


@dataclass(frozen=True)
class Board:
    """A core, the machine of QEMU that has it, and the memories of a small microcontroller."""

    name: str
    core: str
    machine: str
    clock_mhz: int = 25
    """Of SysTick."""
    flash_kib: int = 512
    ram_kib: int = 256
    vectors: bool = False
    """Whether it has Helium, 128 bits wide, which compilers use where floats are in registers."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What the compiler is told of the core."""
        return f"-mcpu={self.core}", *(("-mfloat-abi=hard",) if self.vectors else ())

    @property
    def instructions_per_tick(self) -> float:
        """Nanoseconds from one tick to the next."""
        return 1000 / self.clock_mhz


BOARDS = {
    "cortex_m4": Board("Cortex-M4", "cortex-m4", "mps2-an386"),
    "cortex_m7": Board("Cortex-M7", "cortex-m7", "mps2-an500"),
    "cortex_m55": Board("Cortex-M55", "cortex-m55", "mps3-an547", clock_mhz=32, vectors=True),
}
"""By the id of the hardware profile; there is none of the Cortex-M55."""


@dataclass(frozen=True)
class Image:
    """A program for a board."""

    path: Path
    flash: int
    """Bytes of code and tables of what encodes, without the program around it."""
    ram: int
    """Bytes of its static memory."""
    compile_seconds: float
    """Of the processor, for what encodes."""


@dataclass(frozen=True)
class Measured:
    """What a board did with B recordings."""

    codes: NDArray[np.uint8]
    """Packed, (B, K/8)."""
    instructions: NDArray[np.int64]
    """Of each recording, (B,)."""
    stack: int
    """Bytes that the deepest call took."""


def missing_tools() -> str:
    """Why no board can be emulated here, in one line; empty where one can."""
    missing = [name for name in (COMPILER, SIZE, EMULATOR) if shutil.which(name) is None]
    return f"{', '.join(missing)} not on the PATH: apt-get install {PACKAGES}" if missing else ""


def build(folder: Path, board: Board, files: Mapping[str, str], extra: Sequence[str] = ()) -> Image:
    """The program of ``encoder.c`` and ``encoder.h`` in ``files`` for a board, in ``folder``.

    Args:
        extra: more arguments of the compiler, such as folders and libraries.

    Raises:
        BackendError: it does not compile, or has no room on the board.
        MissingToolError: the compiler or the emulator is missing.
    """
    if why := missing_tools():
        raise MissingToolError(why)
    for name, content in files.items():
        (folder / name).write_text(content)
    for template in ("board.ld", "startup.c", "measure.c"):
        (folder / template).write_text(TEMPLATES.get_template(f"{template}.j2").render(vars(board)))
    (folder / "empty.c").write_text(_EMPTY)
    seconds, _ = (_compile(folder, board, name, extra) for name in ("encoder", "empty"))
    image, around = (_link(folder, board, name, extra) for name in ("encoder", "empty"))
    flash, ram = (int(whole - part) for whole, part in zip(image, around, strict=True))
    return Image(folder / "encoder.elf", flash, ram, seconds)


def _compile(folder: Path, board: Board, name: str, extra: Sequence[str]) -> float:
    """Make ``name``.o of ``name``.c; returns seconds of the processor."""
    before = seconds_of_children()
    call([COMPILER, *FLAGS, *board.flags, "-Werror", *extra, "-c", f"{name}.c", "-o", f"{name}.o"], folder)
    return seconds_of_children() - before


def _link(folder: Path, board: Board, name: str, extra: Sequence[str]) -> tuple[int, int]:
    """Build ``name``.elf of ``name``.o; returns its bytes of flash and of RAM."""
    sources = (f"{name}.o", "startup.c", "measure.c")
    call([COMPILER, *FLAGS, *board.flags, *sources, *extra, *LIBRARY, "-T", "board.ld", "-o", f"{name}.elf"], folder)
    text, data, bss, *_ = call([SIZE, f"{name}.elf"], folder).splitlines()[1].split()
    return int(text) + int(data), int(data) + int(bss)


def measure(image: Image, board: Board, frames: NDArray[np.uint8]) -> Measured:
    """Encode frames (B, T, 2, H, W) on an emulated board."""
    recordings = np.packbits(frames.reshape(len(frames), -1), axis=1)
    image.path.with_name("recordings").write_bytes(recordings.tobytes())
    quiet = ("-nographic", "-monitor", "none", "-serial", "none")
    semihosting = ("-semihosting-config", "enable=on,target=native")
    printed = call(
        [EMULATOR, "-M", board.machine, "-kernel", image.path.name, *quiet, *semihosting, "-icount", "shift=0"],
        image.path.parent,
    )
    lines = [line.split() for line in printed.splitlines()]
    codes = np.array([list(bytes.fromhex(code)) for code, *_ in lines], np.uint8)
    ticks, stacks = np.array([each[1:] for each in lines], np.int64).T
    return Measured(codes, (ticks * board.instructions_per_tick).round().astype(np.int64), int(stacks.max()))


def call(command: Sequence[str], folder: Path) -> str:
    """What ``command`` prints; BackendError where it fails."""
    plain = os.environ | {"LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=plain, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise BackendError(f"{command[0]}: no end after {_SECONDS} s: give fewer recordings") from None
    if done.returncode:
        overflow = re.search(r"region `(\w+)' overflowed by (\d+) bytes", done.stderr)
        if overflow:
            raise BackendError(
                f"the board's {overflow[1]} is {int(overflow[2]):,} bytes too small: train a smaller encoder"
            )
        said = in_one_line(RuntimeError(done.stderr or f"exit code {done.returncode}"))
        raise BackendError(f"{command[0]} failed: {said}")
    return done.stdout


TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
)
