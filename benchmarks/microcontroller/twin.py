"""The int8 twin of an encoder as C, by CMSIS-NN: Arm's own kernels for eight-bit networks on Cortex-M.

No kernel looks at its weights or skips a zero, so that instructions and memory follow from the sizes alone: the weights
are drawn. What the twin would answer is not what is measured here.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.microcontroller.board import COMPILER, FLAGS, TEMPLATES, Board, call
from spikinghash.errors import ConfigError, MissingToolError
from training.config import EncoderConfig
from training.model.encoder import INPUT_CHANNELS

REPOSITORY = "https://github.com/ARM-software/CMSIS-NN"
ROUNDING = "-DCMSIS_NN_USE_SINGLE_ROUNDING"
"""The cheaper of the two ways to round that the library has."""
_PARTS = ("Activation", "BasicMath", "Convolution", "FullyConnected", "NNSupport", "Pooling", "Softmax")
_FLOATS = ("f16", "f32")
_SOFTMAX = "arm_softmax_s8"
_CLANG = ("clang", "--target=arm-none-eabi", "-isystem", "/usr/include/newlib")
"""Compiles the softmax for Helium: GCC 12.2 fails on it (internal error), so that CMSIS-NN withholds it there."""
_MAPS = ("convolve", "kernel")
_LEAST = {"signed": -128, "relu": 0}


def library(folder: Path, board: Board, cmsis: Path) -> tuple[str, ...]:
    """CMSIS-NN for a board, built in ``folder``: what the compiler is told to use it.

    Args:
        cmsis: a checkout of ``REPOSITORY``.

    Raises:
        MissingToolError: it is none, or a compiler is missing.
    """
    if board.vectors and shutil.which(_CLANG[0]) is None:
        raise MissingToolError(f"{board.name}: no clang on the PATH, which compiles CMSIS-NN's softmax: install it")
    parts = [cmsis / "Source" / f"{part}Functions" for part in _PARTS]
    sources = [
        str(path.resolve()) for part in parts for path in sorted(part.glob("*.c")) if path.stem[-3:] not in _FLOATS
    ]
    if not sources:
        raise MissingToolError(f"{cmsis}: no checkout of CMSIS-NN: git clone {REPOSITORY}")
    include = f"-I{(cmsis / 'Include').resolve()}"
    objects = folder / "objects"
    objects.mkdir(parents=True)
    options = (*FLAGS, *board.flags, ROUNDING, include, "-c")
    call([COMPILER, *options, *sources], objects)
    if board.vectors:
        call([*_CLANG, *options, next(source for source in sources if Path(source).stem == _SOFTMAX)], objects)
    archive = folder / "libcmsis.a"
    call(["arm-none-eabi-ar", "rcs", str(archive), *(str(path) for path in sorted(objects.glob("*.o")))], folder)
    return ROUNDING, include, str(archive)


def keyword_files() -> dict[str, str]:
    """The keyword spotting network of MLPerf Tiny, whose time on real cores is published, with the same interface."""
    header = """#include <stdint.h>
#define ENCODER_FRAME_BYTES 1
#define ENCODER_CODE_BYTES 1
void encoder_encode(const uint8_t frames[ENCODER_FRAME_BYTES], uint8_t code[ENCODER_CODE_BYTES]);
"""
    return {"encoder.c": TEMPLATES.get_template("keywords.c.j2").render(), "encoder.h": header}


def twin_source(config: EncoderConfig, maps_alone: bool = False) -> str:
    """C with the interface of ``encoder.h``.

    Args:
        config: sizes of the encoder.
        maps_alone: leave out what is no linear map with weights: sums, softmax attention, order of pixels.

    Raises:
        ConfigError: a mixer has no counterpart here.
    """
    layers = list(_layers(config))
    weights = sum(size for _, size in layers)
    side = config.size
    pixels = [(side >> (stage + 1)) ** 2 for stage in range(len(config.channels))]
    maps = [count * channels for count, channels in zip(pixels, config.channels, strict=True)]
    scores = [config.heads[at] * pixels[at] ** 2 for at, mixer in enumerate(config.mixers) if mixer == "ssa"]
    largest = max(maps)
    values = np.random.default_rng(0).integers(-127, 128, weights)
    widest = max(3 * max(config.channels), config.mlp_ratio * max(config.channels), *_filters(config), config.bits)
    return TEMPLATES.get_template("twin.c.j2").render(
        calls=[call for call, _ in layers if call.startswith(_MAPS) or not maps_alone],
        weights=weights, values=values.tolist(), widest=widest,
        largest=max(largest, INPUT_CHANNELS * side**2),
        largest_hidden=max(config.mlp_ratio * largest, *(3 * each for each in maps), *scores, config.bits),
        columns=2 * 9 * max(config.channels) * 2,
    )  # fmt: skip


def _filters(config: EncoderConfig) -> Iterator[int]:
    """Output channels of the mixers that work on blocks."""
    for mixer, channels, levels in zip(config.mixers, config.channels, config.levels, strict=True):
        if mixer == "swm":
            yield channels * 4**levels


def _layers(config: EncoderConfig) -> Iterator[tuple[str, int]]:
    """Statements in C, each with the weights that it reads."""
    side, channels = config.size, INPUT_CHANNELS
    for stage, out in enumerate(config.channels):
        if stage:
            yield f"relu({side * side * channels})", 0
        yield from _convolution("input", "stream", side, channels, out, 3, stride=2)
        side, channels = side // 2, out
        for _ in range(config.blocks[stage]):
            yield f"relu({side * side * channels})", 0
            yield from _mixer(config, stage, side)
            yield f"add(output, {side * side * channels})", 0
            yield f"relu({side * side * channels})", 0
            wide = config.mlp_ratio * channels
            yield from _convolution("input", "hidden", side, channels, wide, 1, least="relu")
            yield from _convolution("hidden", "output", side, wide, channels, 1)
            yield f"add(output, {side * side * channels})", 0
    yield f"relu({side * side * channels})", 0
    yield from _convolution("input", "hidden", side, channels, config.bits, side)  # the mean over the map in its kernel


def _mixer(config: EncoderConfig, stage: int, side: int) -> Iterator[tuple[str, int]]:
    channels, kind = config.channels[stage], config.mixers[stage]
    match kind:
        case "swm":
            size, groups = 2 ** config.levels[stage], channels // config.channels_per_group
            yield from _convolution("input", "hidden", side, channels, channels * size**2, size, size, groups)
            yield f"unfold(hidden, output, {side}, {channels}, {size})", 0
        case "ssa":
            yield from _convolution("input", "hidden", side, channels, 3 * channels, 1)
            yield f"attend({side * side}, {channels}, {config.heads[stage]})", 0
            yield from _convolution("input", "output", side, channels, channels, 1)
        case "conv":
            groups = channels // config.channels_per_group
            yield from _convolution("input", "output", side, channels, channels, 3, 1, groups)
        case _:
            raise ConfigError(
                f"stage {stage + 1}: mixer {kind} has no counterpart in the twin's C: use swm, ssa or conv"
            )


def _convolution(
    source: str, target: str, side: int, channels: int, out: int, size: int, stride: int = 1, groups: int = 1,
    least: str = "signed",
) -> Iterator[tuple[str, int]]:  # fmt: skip
    weights = out * size * size * channels // groups
    numbers = (side, channels, out, size, stride, groups, _LEAST[least])
    yield f"convolve({source}, kernel, {target}, {', '.join(map(str, numbers))})", 0
    yield f"kernel += {weights}", weights
