"""C for a microcontroller on boards that QEMU emulates: codes, counted instructions, boards that are too small."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import SMALL, TINY, calibrated, random_frames

from benchmarks.microcontroller.board import BOARDS, Board, build, measure, missing_tools
from benchmarks.microcontroller.twin import twin_source
from export.c.render import render
from export.encoder.network import build_network
from spikinghash.errors import BackendError
from training.config import EncoderConfig

needs_tools = pytest.mark.skipif(bool(missing_tools()), reason=missing_tools() or "-")
WIDE = TINY.model_copy(update={"size": 8, "time_steps": 6, "channels": (12, 40), "heads": (0, 4)})
"""More neurons than a word has bits, and layers that do not fill one; neither four steps nor eight."""
LOOPS = 100_000
COUNTING = """#include "encoder.h"
void encoder_encode(const uint8_t frames[ENCODER_FRAME_BYTES], uint8_t code[ENCODER_CODE_BYTES])
{
    uint32_t left = %d;
    __asm__ volatile("1: subs %%0, %%0, #1\\n\\tbne 1b" : "+r"(left) : : "cc");
    code[0] = frames[0];
}
"""
STACK = """#include "encoder.h"
void encoder_encode(const uint8_t frames[ENCODER_FRAME_BYTES], uint8_t code[ENCODER_CODE_BYTES])
{
    volatile uint8_t taken[%d];
    taken[0] = frames[0];
    code[0] = taken[0];
}
"""


@needs_tools
@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
@pytest.mark.parametrize("config", [SMALL, TINY], ids=["small", "tiny"])
def test_codes_are_the_networks(board: Board, config: EncoderConfig, tmp_path: Path) -> None:
    network, frames = build_network(calibrated(config)), random_frames(config, 5)
    source = render(network)
    image = build(tmp_path, board, source.files)
    done, expected = measure(image, board, frames), network.executor().encode(frames)
    assert len({code.tobytes() for code in expected}) > 1, "equal codes say little"
    np.testing.assert_array_equal(done.codes, expected)
    assert image.ram == pytest.approx(source.memory_bytes, abs=64)
    assert source.table_bytes < image.flash < source.table_bytes + 16_384


@needs_tools
def test_vectors_change_no_code_and_save_instructions(tmp_path: Path) -> None:
    """On one core, with Helium and without."""
    network, frames = build_network(calibrated(WIDE)), random_frames(WIDE, 4)
    board, expected = BOARDS["cortex_m55"], network.executor().encode(frames)
    assert len({code.tobytes() for code in expected}) > 1, "equal codes say little"
    instructions = []
    for each in (board, replace(board, vectors=False)):
        done = measure(build(tmp_path, each, render(network).files), each, frames)
        np.testing.assert_array_equal(done.codes, expected)
        instructions.append(done.instructions.sum())
    assert instructions[0] < instructions[1]


@needs_tools
@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_instructions_are_counted(board: Board, tmp_path: Path) -> None:
    """Against a loop of two instructions."""
    files = render(build_network(calibrated(TINY))).files
    image = build(tmp_path, board, files | {"encoder.c": COUNTING % LOOPS})
    (found,) = measure(image, board, random_frames(TINY, 1)).instructions
    assert abs(found - 2 * LOOPS) <= 2 * board.instructions_per_tick


@needs_tools
@pytest.mark.parametrize("size", [64, 1024, 12_000])
def test_the_stack_is_measured(size: int, tmp_path: Path) -> None:
    """Against an array on it."""
    board, files = BOARDS["cortex_m4"], render(build_network(calibrated(TINY))).files
    image = build(tmp_path, board, files | {"encoder.c": STACK % size})
    found = measure(image, board, random_frames(TINY, 2)).stack
    assert size <= found <= size + 128


@needs_tools
def test_a_board_without_room_is_refused(tmp_path: Path) -> None:
    small = replace(BOARDS["cortex_m4"], flash_kib=16)
    with pytest.raises(BackendError, match=r"the board's FLASH is [\d,]+ bytes too small: train a smaller encoder"):
        build(tmp_path, small, render(build_network(calibrated(TINY))).files)


def test_the_twin_reads_every_weight_once() -> None:
    """Against the sizes of its layers: stem, a mixer on blocks, two MLPs, an attention, a hash layer."""
    stem, mixer, mlp, down = 4 * 2 * 9, 16 * 2 * 4, 2 * 8 * 4, 8 * 4 * 9
    attention, deep_mlp, head = 4 * 8 * 8, 2 * 16 * 8, 8 * 8 * 16
    total = stem + mixer + mlp + down + attention + deep_mlp + head
    source = twin_source(TINY)
    assert f"static const int8_t weights[{total}] = {{" in source
    steps = [int(line.split()[2].rstrip(";")) for line in source.splitlines() if line.startswith("    kernel += ")]
    assert sum(steps) == total
