"""The network as C against the torch executor: codes and counts of all layers, under the sanitizers of the compiler."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import Call
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SMALL, TINY, calibrated, random_frames
from numpy.typing import NDArray
from test_events import configs, quickly_calibrated

from export.c.check import check, compare, compile_program, run_program
from export.c.memory import Buffer, place_buffers
from export.c.packing import BLOCK, paired, weight_words
from export.c.render import Source, render
from export.c.to_c import main
from export.encoder.certify import certify
from export.encoder.network import Network, build_network
from export.encoder.node import Linear
from export.encoder.operations import Attention, Lif
from spikinghash.errors import ComparisonError, GraphError
from spikinghash.files import private_folder
from training.checkpoint import Checkpoint, save_checkpoint
from training.config import Config, EncoderConfig

SANITIZERS = {
    "gcc": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1"),
    "clang": ("-fsanitize=undefined", "-fsanitize-trap=undefined"),  # which need no library beside clang
}
COMPILERS = [name for name in SANITIZERS if shutil.which(name)]
if not COMPILERS:
    pytest.skip("no C compiler: install one, such as the package gcc", allow_module_level=True)


def require_equal(network: Network, frames: NDArray[np.uint8], compiler: str = COMPILERS[0]) -> Source:
    """Compile with sanitizers, run, compare; returns the source."""
    source = render(network)
    with private_folder("snh-c-test-") as folder:
        for name, content in source.files.items():
            (folder / name).write_text(content)
        compare(network, frames, run_program(compile_program(folder, compiler, SANITIZERS[compiler]), frames))
    return source


@settings(max_examples=5)
@given(configs(), st.integers(0, 1000), st.floats(0.01, 0.6))
def test_any_encoder_of_the_family(config: EncoderConfig, seed: int, density: float) -> None:
    network = build_network(quickly_calibrated(config, seed))
    require_equal(network, random_frames(config, 2, seed, density))


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_layer_that_spikes_is_counted(compiler: str) -> None:
    network, frames = build_network(calibrated(SMALL)), random_frames(SMALL, 4)
    _, spikes = network.executor().layers(frames)
    assert all(value.any() for value in spikes.values()), "a silent layer tests nothing"
    source = require_equal(network, frames, compiler)
    assert "float" not in source.files["encoder.c"]
    assert "#include <" not in source.files["encoder.c"]
    assert source.files["encoder.h"].count("#include <") == source.files["encoder.h"].count("#include <stdint.h>") == 1


def changed(network: Network, linear: float, threshold: float) -> Network:
    """Weights and biases times ``linear``, rounded, and thresholds times ``threshold``; a certificate of its own."""
    graph = network.graph.copy()
    for name, node in graph.nodes.items():
        if isinstance(node, Lif):
            hair = 2.0 ** -(graph.time_steps + 1)
            graph.nodes[name] = replace(node, threshold=float(np.floor(node.threshold) * threshold // 1 + hair))
        elif isinstance(node, Attention):
            graph.nodes[name] = replace(node, weight=max(1.0, round(node.weight * linear)))
        elif isinstance(node, Linear) and name != "vote_count":
            bias = None if node.bias is None else np.round(node.bias * linear)
            graph.nodes[name] = node.with_numbers(np.round(node.weight * linear), bias)
    return replace(network, graph=graph, certificate=certify(graph))


def test_currents_that_need_more_than_16_bits_have_a_word_each() -> None:
    network, frames = build_network(calibrated(SMALL)), random_frames(SMALL, 3)
    large = changed(network, 64, 64)
    assert "add_rows_wide" in require_equal(large, frames).files["encoder.c"]
    np.testing.assert_array_equal(large.executor().encode(frames), network.executor().encode(frames))


def test_weights_of_four_bits_are_packed() -> None:
    network = build_network(calibrated(SMALL))
    small = changed(network, 1 / 32, 1 / 32)
    source = require_equal(small, random_frames(SMALL, 3))
    assert "add_rows_4" in source.files["encoder.c"]
    assert source.table_bytes < render(network).table_bytes


def test_a_classification_head_counts_the_spikes_of_each_class() -> None:
    config = TINY.model_copy(update={"head": "classes", "bits": 10})
    network, frames = build_network(calibrated(config)), random_frames(config, 4)
    assert len(np.unique(network.executor().encode(frames))) > 1, "counts that are all alike test nothing"
    assert "uint16_t classes[ENCODER_CLASSES]" in require_equal(network, frames).files["encoder.h"]


def test_more_than_32_bits_are_refused() -> None:
    network = changed(build_network(calibrated(TINY)), 2**20, 2**20)
    with pytest.raises(GraphError, match=r"node stage\S+: currents -?\d+ to -?\d+ and threshold \d+ need 3\d bits"):
        render(network)


@pytest.mark.parametrize(("limit", "what"), [("LARGEST_FLASH", "tables"), ("LARGEST_MEMORY", "memory")])
def test_what_no_microcontroller_holds_is_refused(limit: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"export.c.render.{limit}", 1000)
    with pytest.raises(
        GraphError, match=rf"as C the encoder has [\d,]+ bytes of {what}, limit 1,000: export it to ONNX"
    ):
        render(build_network(calibrated(TINY)))


def test_float_numbers_are_refused() -> None:
    with pytest.raises(GraphError, match="float numbers"):
        render(build_network(calibrated(TINY), "float"))


@given(st.integers(1, 70), st.integers(1, 6), st.sampled_from([4, 8]), st.integers(0, 1000))
def test_words_hold_all_weights(channels: int, rows: int, bits: int, seed: int) -> None:
    """Lane by lane, as C takes them apart."""
    largest = 2 ** (bits - 1) - 1
    weights = np.random.default_rng(seed).integers(-largest, largest + 1, (rows, channels))
    lanes = paired(channels)
    table = weight_words(weights, lanes, bits).astype(np.int64)
    found = np.zeros((rows, channels), np.int64)
    per_word = 32 // bits
    for word, pair in enumerate(lanes):
        block, at = divmod(2 * word, BLOCK)
        for lane, channel in enumerate(pair):
            shift = bits * (at % per_word // 2) + 16 * lane
            if channel >= 0:
                found[:, channel] = (table[block, :, at // per_word] >> shift & (2**bits - 1)) - 2 ** (bits - 1)
    np.testing.assert_array_equal(-found, weights)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9), st.integers(0, 4)), max_size=12))
def test_buffers_in_use_do_not_overlap(drawn: list[tuple[int, int, int]]) -> None:
    buffers = [Buffer(str(at), words, first, first + more) for at, (words, first, more) in enumerate(drawn)]
    total = place_buffers(buffers)
    for step in range(14):
        ranges = [range(each.offset, each.offset + each.words) for each in buffers if each.first <= step <= each.last]
        taken = [at for each in ranges for at in each]
        assert len(taken) == len(set(taken))
        assert max(taken, default=-1) < total


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.pt"
    save_checkpoint(path, Checkpoint(Config(encoder=TINY), calibrated(TINY).state_dict(), 1, {}))
    return path


def test_command(checkpoint: Path, tmp_path: Path, call: Call) -> None:
    done = call(main, checkpoint, "-o", tmp_path / "c")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["encoder.c", "encoder.h", "main.c"]
    assert "codes and spike counts of 8 equal" in done.out
    assert "bytes static" in done.out


@pytest.mark.parametrize("room", ["--flash", "--ram"])
def test_a_board_that_is_too_small(checkpoint: Path, tmp_path: Path, call: Call, room: str) -> None:
    done = call(main, checkpoint, "-o", tmp_path / "c", room, 1)
    assert done.code == 2
    assert "the board has 1,024: train one" in done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "c").exists()


def test_a_file_where_the_folder_should_be(checkpoint: Path, tmp_path: Path, call: Call) -> None:
    (tmp_path / "c").write_text("mine")
    done = call(main, checkpoint, "-o", tmp_path / "c")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert (tmp_path / "c").read_text() == "mine"


def test_no_compiler(checkpoint: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    done = call(main, checkpoint, "-o", tmp_path / "c")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "no C compiler" in done.err
    assert not (tmp_path / "c").exists()


def test_another_network_is_told_from_the_program() -> None:
    network, other = build_network(calibrated(TINY)), build_network(calibrated(TINY, seed=1))
    with pytest.raises(ComparisonError, match=r"parts from the network in layer stage1\w+, recording \d+: "):
        check(network, render(other).files)


def test_a_network_of_which_every_map_has_neurons_of_its_own() -> None:
    """No function stands in the file that nothing calls: compilers refuse it."""
    sizes = {"channels": (4,), "blocks": (0,), "mixers": ("conv",), "levels": (0,), "heads": (0,)}
    config = EncoderConfig.model_validate(TINY.model_dump() | sizes)
    source = require_equal(build_network(calibrated(config)), random_frames(config, 3))
    assert "convolve_and_fire" in source.files["encoder.c"]
