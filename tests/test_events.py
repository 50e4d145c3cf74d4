"""The backend ``events`` against the torch executor, which shares no arithmetic with it: every spike of every layer."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import DEEP, SMALL, TINY, calibrated, random_frames
from numpy.typing import NDArray

from deploy.backends.encoders import Encoder, load_encoder
from deploy.backends.events.encoder import EventsEncoder
from deploy.backends.events.kernels import advance
from deploy.backends.events.steps import EventsSteps
from deploy.backends.events.width import Width, offset_of
from deploy.backends.numpy_backend import FEW, NumpyEncoder
from export.encoder.haar import split_levels
from export.encoder.integer import KEY, Blocks, Coincidences, Convolution, IntegerNetwork, Layer, Neurons, Vote
from export.encoder.network import Network, build_network
from export.onnx.properties import read_property
from export.onnx.to_onnx import build_onnx, export_onnx
from spikinghash.errors import GraphError, SpikinghashError
from training.config import EncoderConfig, Wavelet
from training.model.encoder import Spikinghash
from training.model.wave_mixer import WaveMixer


def require_equal(network: Network, encoder: Encoder, frames: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Codes, spikes and counts are the executor's; returns the spikes."""
    codes, spikes = network.executor().layers(frames)
    traced = encoder.trace(frames)
    assert list(traced.spikes) == list(spikes)
    for name, expected in spikes.items():
        np.testing.assert_array_equal(traced.spikes[name], expected, err_msg=name)
        assert traced.counts[name].tolist() == expected.sum(axis=(1, 2, 3, 4)).tolist()
    assert np.array_equal(traced.codes, codes)
    assert np.array_equal(encoder.encode(frames), codes)
    return spikes


@pytest.mark.parametrize("config", [SMALL, TINY, DEEP], ids=["small", "tiny", "deep"])
def test_every_spike_is_the_executors(config: EncoderConfig) -> None:
    network = build_network(calibrated(config))
    encoder = EventsEncoder(network.integer())
    assert encoder.arithmetic == "int16"
    spikes = require_equal(network, encoder, random_frames(config, 9))
    require_equal(network, NumpyEncoder(network.integer()), random_frames(config, 9))
    assert all(value.any() for value in spikes.values()), "a silent layer tests nothing"


@pytest.mark.parametrize(
    ("levels", "wavelet", "channels", "group"),
    [(3, "space-time", 4, 2), (3, "time", 4, 2), (3, "space", 4, 2), (1, "time", 18, 9), (1, "space-time", 30, 6)],
)
def test_three_levels_and_groups_that_fill_no_word(levels: int, wavelet: Wavelet, channels: int, group: int) -> None:
    config = EncoderConfig(
        time_steps=8, size=16, channels=(channels,), blocks=(2,), mixers=("swm",), levels=(levels,), wavelet=wavelet,
        heads=(0,), channels_per_group=group, mlp_ratio=1, bits=8,
    )  # fmt: skip
    network = build_network(calibrated(config))
    spikes = require_equal(network, EventsEncoder(network.integer()), random_frames(config, 3))
    assert all(value.any() for value in spikes.values()), "a silent layer tests nothing"


@st.composite
def configs(draw: st.DrawFn) -> EncoderConfig:
    """Encoders of the family: any mixers, levels, groups, heads, steps and blocks."""
    stages = draw(st.integers(1, 3))
    steps, group = draw(st.sampled_from([1, 2, 3, 4, 8])), draw(st.sampled_from([1, 2, 3, 4, 6, 8]))
    mixers, levels, heads, channels = [], [], [], []
    size = 16
    for stage in range(stages):
        width = group * draw(st.integers(1, 3))
        largest = max(n for n in range(4) if steps % 2**n == 0 and (size >> (stage + 1)) % 2**n == 0)
        channels.append(width)
        mixers.append(draw(st.sampled_from(["swm", "ssa", "conv", "dwconv"])))
        levels.append(draw(st.integers(0, largest)))
        heads.append(draw(st.sampled_from([n for n in range(1, width + 1) if width % n == 0])))
    return EncoderConfig(
        time_steps=steps, size=size, channels=tuple(channels), blocks=tuple(draw(st.integers(1, 2)) for _ in mixers),
        mixers=tuple(mixers), levels=tuple(levels), wavelet=draw(st.sampled_from(["space-time", "time", "space"])),
        channels_per_group=group, heads=tuple(heads), mlp_ratio=draw(st.integers(1, 3)), bits=8,
    )  # fmt: skip


def quickly_calibrated(config: EncoderConfig, seed: int) -> Spikinghash:
    """A network whose norms know one batch, and whose gains make most layers spike."""
    torch.manual_seed(seed)
    model = Spikinghash(config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = 1.0
            torch.nn.init.uniform_(module.weight, 1.0, 2.0)
            torch.nn.init.uniform_(module.bias, -0.2, 0.6)
    with torch.no_grad():
        model(torch.from_numpy(random_frames(config, 8)))
    return model.eval()


@settings(max_examples=25)
@given(configs(), st.integers(0, 1000), st.floats(0.01, 0.6))
def test_any_encoder_of_the_family(config: EncoderConfig, seed: int, density: float) -> None:
    network = build_network(quickly_calibrated(config, seed))
    integer = IntegerNetwork.from_text(network.integer().to_text(), "text")
    for encoder in (EventsEncoder(integer), NumpyEncoder(integer)):
        require_equal(network, encoder, random_frames(config, 2, seed, density))


def claiming(network: IntegerNetwork, lowest: int, highest: int) -> IntegerNetwork:
    """The same network, whose certificate promises less."""

    def widened(layer: Layer) -> Layer:
        return replace(layer, lowest=lowest, highest=highest) if isinstance(layer, Neurons) else layer

    return replace(network, layers=tuple(map(widened, network.layers)))


@pytest.mark.parametrize(
    ("lowest", "highest", "arithmetic"),
    [(-16900, 15000, "int16"), (-16900, 33000, "int32"), (-(2**31), 2**20, "int64")],
)
def test_sums_that_the_certificate_allows_are_held(lowest: int, highest: int, arithmetic: str) -> None:
    network = build_network(calibrated(SMALL))
    encoder = EventsEncoder(claiming(network.integer(), lowest, highest))
    assert encoder.arithmetic == arithmetic
    require_equal(network, encoder, random_frames(SMALL, 3))


def test_more_than_64_bits_are_refused() -> None:
    network = claiming(build_network(calibrated(TINY)).integer(), -(2**63), 0)
    with pytest.raises(
        GraphError, match=r"node stage1_block0_mixer_lif: currents -9223372036854775808 to 0 .* 64 bits"
    ):
        EventsEncoder(network)
    with pytest.raises(GraphError, match="64 bits"):
        NumpyEncoder(network)


@given(
    st.lists(st.integers(-16000, 15000), min_size=1, max_size=12), st.integers(-9000, 9000), st.integers(-16900, -16000)
)  # fmt: skip
def test_neurons_need_no_fractions(currents: list[int], threshold: int, lowest: int) -> None:
    """Against the rule of the graph in exact fractions."""
    offset = offset_of(Neurons("lif", ("map",), (1, 1, 1), threshold, lowest, 15000))
    assert Width(np.uint16).holds(threshold, 15000, offset)
    potentials, spikes = np.full(1, 2 * offset, np.uint16), np.zeros(1, np.uint8)
    for current, fired in zip(currents, by_fractions(currents, threshold), strict=True):
        advance(np.array([current + offset], np.uint16), potentials, spikes, threshold + 2 * offset, 2 * offset)
        assert bool(spikes[0]) == fired


def by_fractions(currents: list[int], threshold: int) -> list[bool]:
    """When the neuron of the graph spikes."""
    v, spikes = Fraction(0), []
    for current in currents:
        v = v / 2 + current
        spikes.append(v > threshold + Fraction(1, 2 ** (len(currents) + 1)))
        v = Fraction(0) if spikes[-1] else v
    return spikes


def frames_to_bits(
    steps: int, size: int, weight: NDArray[np.int64], threshold: int, lowest: int, highest: int, **geometry: int
) -> IntegerNetwork:
    """A map of frames, neurons, and eight neurons that each of them drives by as much as makes it spike."""
    sides = [
        (size + 2 * geometry.get("padding", 0) - side) // geometry.get("stride", 1) + 1 for side in weight.shape[2:]
    ]
    shape, bits = (len(weight), sides[0], sides[1]), (8, 1, 1)
    onto = np.arange(8 * np.prod(shape)).reshape(8, *shape) % 3 + 1
    layers: tuple[Layer, ...] = (
        Convolution("map", ("input",), shape, weight, np.zeros(len(weight), np.int64), **geometry),
        Neurons("lif", ("map",), shape, threshold, lowest, highest),
        Convolution("head", ("lif",), bits, onto, np.zeros(8, np.int64)),
        Neurons("bits", ("head",), bits, 0, 0, int(onto.sum())),
    )
    return IntegerNetwork(steps, size, Vote("vote", ("bits",), bits, 1), layers, ("lif", "bits"))


@pytest.mark.parametrize(("beyond", "arithmetic"), [(0, "int16"), (1, "int32")])
@settings(max_examples=100)
@given(events=st.lists(st.sampled_from(["least", "most", "at the threshold", "none"]), min_size=2, max_size=12))
def test_numbers_reach_the_limit_of_a_lane(beyond: int, arithmetic: str, events: list[str]) -> None:
    """The least current again and again, and the largest one on a potential just below a spike."""
    threshold, lowest = 2001, -16000
    highest = 2**16 - 1 - 2 * 16000 - (threshold + 1) // 2 + beyond
    weight = np.array([[[[highest, threshold]], [[lowest, 0]]]])
    encoder = EventsEncoder(frames_to_bits(len(events), 2, weight, threshold, lowest, highest))
    assert encoder.arithmetic == arithmetic
    frames, currents = np.zeros((1, len(events), 2, 2, 2), np.uint8), {"least": lowest, "most": highest, "none": 0}
    for t, event in enumerate(events):
        frames[0, t, int(event == "least"), 0, int(event == "at the threshold")] = event != "none"
    expected = by_fractions([currents.get(event, threshold) for event in events], threshold)
    assert encoder.trace(frames).spikes["lif"][0, :, 0, 0, 0].tolist() == expected


@settings(max_examples=40)
@given(
    st.integers(1, 8), st.integers(1, 8), st.integers(0, 3), st.integers(1, 3), st.integers(1, 40), st.integers(0, 999)
)  # fmt: skip
def test_kernels_of_any_size_read_the_frames(
    height: int, width: int, padding: int, stride: int, channels: int, seed: int
) -> None:
    generator, size = np.random.default_rng(seed), 9
    weight = generator.integers(-9, 10, (channels, 2, height, width))
    bound = 9 * weight[0].size
    network = frames_to_bits(3, size, weight, 4, -bound, bound, padding=padding, stride=stride)
    frames = (generator.random((4, 3, 2, size, size)) < 0.4).astype(np.uint8)
    found, expected = EventsEncoder(network).trace(frames), NumpyEncoder(network).trace(frames)
    for name, spikes in expected.spikes.items():
        np.testing.assert_array_equal(found.spikes[name], spikes, err_msg=name)


@given(st.integers(1, 2), st.sampled_from(["space-time", "time", "space"]), st.integers(1, 3), st.integers(0, 10**6))
def test_wave_mixers_come_apart_by_level(levels: int, wavelet: Any, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    kernel = WaveMixer(2 * width, levels, width, wavelet).kernel().detach().numpy()
    weight = np.round(20 * kernel).astype(np.int64)
    split = split_levels(weight, levels)
    assert split.kernels.shape[:3] == (levels, 2, {"space-time": 8, "space": 4, "time": 2}[wavelet])
    volume = 8**levels
    full = weight.reshape(2, width, volume, width, volume)
    n = 2**levels
    for corner in np.ndindex(*(n // side for side in split.sides)):
        places = (split.members + corner) @ [n * n, n, 1]
        np.testing.assert_array_equal(full[:, :, places][:, :, :, :, places].transpose(0, 2, 1, 4, 3), split.whole())


def test_any_other_block_map_is_kept_whole() -> None:
    weight = np.random.default_rng(0).integers(-9, 9, (2, 16, 16))
    split = split_levels(weight, 1)
    assert split.kernels.shape == (1, 2, 8, 2, 8, 2)
    np.testing.assert_array_equal(split.whole(), weight.reshape(2, 2, 8, 2, 8).transpose(0, 2, 1, 4, 3))


def test_a_mixer_that_no_wavelet_made_runs() -> None:
    network = build_network(calibrated(SMALL))
    name, mixer = next((n, node) for n, node in network.graph.nodes.items() if type(node).__name__ == "WaveMixer")
    changed = mixer.weight.copy()  # type: ignore[attr-defined]
    changed[0, 0, 1] += 1
    network.graph.nodes[name] = replace(mixer, weight=changed)  # type: ignore[call-arg]
    integer = network.integer()
    (blocks,) = (layer for layer in integer.layers if layer.name == name)
    assert isinstance(blocks, Blocks)
    assert blocks.kernels.shape[0] == 1
    require_equal(network, EventsEncoder(integer), random_frames(SMALL, 3))


def test_threads_and_batches_change_nothing() -> None:
    network = build_network(calibrated(SMALL))
    frames = random_frames(SMALL, 33)
    codes, _ = network.executor().layers(frames)
    for threads in (1, 2, 3):
        encoder = EventsEncoder(network.integer(), threads)
        for batch in (1, 7, 33):
            assert np.array_equal(encoder.encode(frames[:batch]), codes[:batch])
        with ThreadPoolExecutor(3) as pool:
            for found in pool.map(encoder.encode, [frames] * 6):
                assert np.array_equal(found, codes)
    assert encoder.encode(frames[:0]).shape == (0, 1)
    assert encoder.trace(frames[:0]).counts["hash_lif"].shape == (0,)


LEVELLESS = SMALL.model_copy(update={"levels": (0, 0, 0)})
SPATIAL = SMALL.model_copy(update={"wavelet": "space"})


@pytest.mark.parametrize(
    ("config", "block"), [(SMALL, 4), (DEEP, 2), (LEVELLESS, 1), (SPATIAL, 1)], ids=["small", "deep", "flat", "space"]
)
def test_a_window_may_come_in_pieces(config: EncoderConfig, block: int) -> None:
    network = build_network(calibrated(config))
    frames = random_frames(config, 5)
    codes, _ = network.executor().layers(frames)
    steps = EventsSteps(network.integer())
    assert steps.block == block
    for window, code in zip(frames, codes, strict=True):
        for begin in range(0, config.time_steps, block):
            with pytest.raises(SpikinghashError, match=f"has {begin} of its {config.time_steps} steps"):
                steps.code()
            steps.push(window[begin : begin + block])
        with pytest.raises(SpikinghashError, match="ask for its code"):
            steps.push(window[:block])
        assert steps.code().tolist() == code.tolist()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small encoder as ONNX: integer, stored as int8, float, and as older versions wrote it."""
    folder = tmp_path_factory.mktemp("events")
    network, numbers = build_network(calibrated(TINY)), build_network(calibrated(TINY), "float")
    paths = {name: folder / f"{name}.onnx" for name in ("integer", "int8", "float", "old")}
    export_onnx(network, paths["integer"])
    export_onnx(network, paths["int8"], int8=True)
    export_onnx(numbers, paths["float"])
    model = build_onnx(network)
    (entry,) = (each for each in model.metadata_props if each.key == KEY)
    model.metadata_props.remove(entry)
    onnx.save(model, str(paths["old"]))
    return paths


def test_it_is_the_default_where_a_file_holds_an_integer_network(files: dict[str, Path]) -> None:
    frames = random_frames(TINY, 3)
    expected, _ = build_network(calibrated(TINY)).executor().layers(frames)
    chosen = {name: load_encoder(path) for name, path in files.items()}
    assert {name: encoder.backend for name, encoder in chosen.items()} == {
        "integer": "events", "int8": "events", "float": "onnxruntime", "old": "onnxruntime",
    }  # fmt: skip
    for name in ("integer", "int8", "old"):
        assert np.array_equal(chosen[name].encode(frames), expected)
    assert load_encoder(files["integer"], "onnxruntime").backend == "onnxruntime"
    with pytest.raises(GraphError, match=r"old\.onnx: it holds no integer network.*export it again"):
        load_encoder(files["old"], "events")


def test_many_recordings_are_compiled_for_and_few_are_not(files: dict[str, Path]) -> None:
    """Codes and traces are those of the other backends before and after, and Numba is loaded when it has to be."""
    script = """
import sys, numpy
from pathlib import Path
from deploy.backends.encoders import load_encoder
from deploy.backends.numpy_backend import FEW
encoder = load_encoder(Path(sys.argv[1]), warming=True)
frames = numpy.load(sys.argv[2])
for number in range(FEW + 1):
    code = encoder.encode(frames).tobytes().hex()
    print(encoder.backend, code, "numba" in sys.modules)
"""
    frames = random_frames(TINY, 1)
    np.save(files["integer"].with_name("frames.npy"), frames)
    code = build_network(calibrated(TINY)).executor().layers(frames)[0].tobytes().hex()
    command = [sys.executable, "-c", script, str(files["integer"]), str(files["integer"].with_name("frames.npy"))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr == ""
    rows = [line.split() for line in done.stdout.splitlines()]
    assert {(name, shown) for name, shown, _ in rows} == {("events", code)}
    assert [loaded for *_, loaded in rows] == ["False"] * FEW + ["True"]


def test_no_torch_is_imported(files: dict[str, Path]) -> None:
    script = """
import sys, numpy
from pathlib import Path
from deploy.backends.encoders import load_encoder
encoder = load_encoder(Path(sys.argv[1]), "events")
encoder.encode(numpy.zeros((1, encoder.time_steps, 2, encoder.size, encoder.size), numpy.uint8))
print([name for name in ("torch", "onnxruntime", "onnx", "norse") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script, str(files["integer"])], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_properties_are_those_that_onnx_reads(files: dict[str, Path], tmp_path: Path) -> None:
    model = onnx.load(str(files["integer"]))
    for entry in model.metadata_props:
        assert read_property(files["integer"], entry.key) == entry.value
    assert read_property(files["integer"], "other") is None
    whole = files["integer"].read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GraphError, match=r"cut\.onnx: not what was written"):
        read_property(tmp_path / "cut.onnx", KEY)


def test_damaged_networks_are_refused_in_one_line() -> None:
    text = build_network(calibrated(TINY)).integer().to_text()
    content = json.loads(text)
    for damaged, why in (
        ("{", "no JSON"),
        (json.dumps({**content, "format": 99}), "format 99, this version reads 1"),
        (json.dumps({**content, "network": content["network"][:-400]}), "damaged"),
    ):
        with pytest.raises(GraphError, match=f"x.onnx: its integer network.*{why}"):
            IntegerNetwork.from_text(damaged, "x.onnx")


def changed(network: IntegerNetwork, name: str, change: Callable[[Any], Layer]) -> IntegerNetwork:
    layers = tuple(change(layer) if layer.name == name else layer for layer in network.layers)
    return replace(network, layers=layers)


def without_taps(layer: Convolution) -> Convolution:
    """The dense map with a kernel of no taps, and the shape that it would send."""
    out, _, height, width = layer.weight.shape
    return replace(layer, weight=layer.weight[:, :, :0, :0], shape=(out, height + 1, width + 1))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("stage1_down", lambda layer: replace(layer, padding=0)),
        ("stage1_down", lambda layer: replace(layer, bias=layer.bias[1:])),
        ("stage1_down", lambda layer: replace(layer, padding=2**15, stride=2**16, shape=(layer.shape[0], 1, 1))),
        ("stage1_down", lambda layer: replace(layer, sources=("nowhere",))),
        ("stage1_block0_mixer", lambda layer: replace(layer, members=layer.members + 1)),
        ("stage1_block0_mixer", lambda layer: replace(layer, sides=(3, 3, 3))),
        ("stage1_block0_mixer", lambda layer: replace(layer, kernels=layer.kernels[:, :1])),
        ("stage2_block0_mixer", lambda layer: replace(layer, heads=3)),
        ("head_lif", lambda layer: replace(layer, shape=(8, 4, 5))),
        ("head_linear", lambda layer: replace(layer, weight=layer.weight[:, 1:])),
        ("head_linear", without_taps),
    ],
)
def test_layers_that_do_not_fit_are_named(name: str, change: Callable[[Any], Layer]) -> None:
    network = build_network(calibrated(TINY)).integer()
    assert any(layer.name == name for layer in network.layers), "the change must be made"
    for encoder in (EventsEncoder, NumpyEncoder):
        with pytest.raises(GraphError, match=f"node {name}: .*export anew"):
            encoder(changed(network, name, change))


def test_what_the_kernels_cannot_read_is_named() -> None:
    """Heads that are no whole nibbles, by the vote; and one population, by products of other heads."""
    shape = (8, 1, 1)
    layers: tuple[Layer, ...] = (
        Convolution("map", ("input",), (24, 1, 1), np.ones((24, 2, 4, 4), np.int64), np.zeros(24, np.int64)),
        Neurons("qkv", ("map",), (24, 1, 1), 0, 0, 32),
        Coincidences("product", ("qkv",), shape, 4, 1),
        Neurons("attended", ("product",), shape, 0, 0, 2),
    )
    network = IntegerNetwork(2, 4, Vote("vote", ("attended",), shape, 1), layers, ())
    with pytest.raises(GraphError, match=r"node vote: a vote cannot read attended, .* no multiple of four"):
        EventsEncoder(network)
    other = Coincidences("other", ("qkv",), shape, 8, 1), Neurons("others", ("other",), shape, 0, 0, 1)
    with pytest.raises(GraphError, match=r"node qkv: products beside it have heads of \[1, 2\] channels"):
        EventsEncoder(replace(network, layers=layers + other))


@pytest.mark.parametrize("kind", [EventsEncoder, NumpyEncoder])
def test_frames_of_other_shapes_and_values_are_refused(kind: type[EventsEncoder] | type[NumpyEncoder]) -> None:
    encoder = kind(build_network(calibrated(TINY)).integer())
    frames = random_frames(TINY, 2)
    with pytest.raises(
        SpikinghashError, match=r"frames are uint8 \(4, 2, 16, 15\) per recording: uint8 \(4, 2, 16, 16\)"
    ):
        encoder.encode(frames[..., 1:])
    with pytest.raises(SpikinghashError, match="frames are float32"):
        encoder.encode(frames.astype(np.float32))
    with pytest.raises(SpikinghashError, match="frames hold 2: give 0 and 1"):
        encoder.encode(2 * frames)


def test_grouped_convolutions_are_spread_over_all_channels() -> None:
    weight = np.arange(1, 13).reshape(4, 3, 1, 1)
    whole = Convolution("c", ("s",), (4, 1, 1), weight, np.zeros(4, np.int64), groups=2).whole()
    assert whole[:2, :3].tolist() == weight[:2].tolist()
    assert whole[2:, 3:].tolist() == weight[2:].tolist()
    assert not whole[:2, 3:].any()
    assert not whole[2:, :3].any()
