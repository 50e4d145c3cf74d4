"""Shared residual streams, biases in neurons: the same spikes at fewer operations, or a refusal in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from deploy.backends.emulator import EmulatorRunner
from deploy.backends.encoders import load_encoder
from deploy.backends.lava_backend import LavaBackend, find_interpreter
from deploy.energy.mapping.place import place
from deploy.energy.mapping.uniform import place_counts
from export.encoder.forms import Biases, Streams
from export.encoder.graph import Graph
from export.encoder.network import Network, build_network
from export.encoder.operations import Conv, Input, Lif, Stream
from export.encoder.passes.share_streams import share_streams
from export.nir.interpreter import Interpreter
from export.nir.metadata import read_encoder
from export.nir.to_nir import export_nir
from export.nir.trace import first_difference, input_spikes, layer_spikes, output_codes, recorded_nodes
from export.synaptic.counted import read_network
from export.synaptic.counting import trace_counts
from export.synaptic.counts import NetworkCounts
from hardware_profiles.loader import load_profile
from spikinghash.errors import GraphError, MissingToolError
from tests.networks import calibrated, random_frames
from training.config import EncoderConfig

WIDE = EncoderConfig(
    time_steps=4, size=16, channels=(16, 24), blocks=(3, 2), mixers=("swm", "ssa"), levels=(1, 0),
    heads=(0, 12), channels_per_group=4, mlp_ratio=4, bits=32, vote=1,
)  # fmt: skip
"""Several blocks per stage, and MLPs as wide as in the default encoder."""


@st.composite
def configs(draw: st.DrawFn) -> EncoderConfig:
    """Small encoders of one to three blocks a stage, of all mixers."""
    mixers = draw(st.tuples(*[st.sampled_from(["swm", "dwconv", "ssa"])] * 2))
    return EncoderConfig(
        time_steps=4, size=8, channels=(4, 8), blocks=draw(st.tuples(st.integers(1, 3), st.integers(1, 2))),
        mixers=mixers, levels=tuple(draw(st.integers(0, 1)) if each == "swm" else 0 for each in mixers),
        heads=(4, 4), channels_per_group=draw(st.sampled_from([1, 2, 4])), mlp_ratio=1, bits=8,
    )  # fmt: skip


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(configs(), st.sampled_from(["shared", "copied"]), st.sampled_from(["line", "neurons"]))
def test_every_spike_is_the_networks(tmp_path: Path, config: EncoderConfig, streams: Streams, biases: Biases) -> None:
    network, path = build_network(calibrated(config)), tmp_path / "encoder.nir"
    export_nir(network, path, streams=streams, biases=biases)
    graph, metadata = read_encoder(path)
    frames = random_frames(config, 3, density=0.4)
    codes, expected = network.executor().layers(frames)
    spikes = input_spikes(frames, metadata)
    outputs, recorded = Interpreter(graph).run(spikes, recorded_nodes(metadata))
    assert first_difference(expected, layer_spikes(recorded, metadata)) is None
    assert np.array_equal(output_codes(outputs), codes)
    assert (metadata.streams, metadata.biases) == (streams, biases)
    assert metadata.valid or metadata.latency == 0 or biases == "line"
    by_layer = {each.name: each for each in metadata.populations}
    silent = [name for name in expected if by_layer[name].kind == "map" and name != "output"]
    for name in silent:
        (node,) = by_layer[name].nodes
        assert recorded[node].sum() == expected[name].sum(), f"{name} spikes outside of its window"
    if streams == "copied":
        _, emulated = EmulatorRunner().run(path, spikes, recorded_nodes(metadata))
        assert first_difference(expected, layer_spikes(emulated, metadata)) is None


@pytest.fixture(scope="module")
def network() -> Network:
    return build_network(calibrated(WIDE))


@pytest.fixture(scope="module", params=["copied line", "shared neurons"])
def encoder(request: pytest.FixtureRequest, network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / f"{request.param}.nir"
    streams, biases = request.param.split()
    export_nir(network, path, streams=streams, biases=biases)
    return path


@pytest.fixture(scope="module")
def shared(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / "encoder.nir"
    export_nir(network, path, streams="shared")
    return path


@pytest.fixture(scope="module")
def counts(shared: Path) -> NetworkCounts:
    return trace_counts(shared, random_frames(WIDE, 4), 1e5)


@pytest.mark.parametrize("placement", ["merged", "layered"])
def test_lava_carries_the_values(encoder: Path, network: Network, placement: str) -> None:
    try:
        find_interpreter()
    except MissingToolError as error:
        pytest.skip(str(error))
    frames, metadata = random_frames(WIDE, 3), read_encoder(encoder)[1]
    lava = LavaBackend(executor="local", placement=placement)  # type: ignore[arg-type]
    _, recorded = lava.run(encoder, input_spikes(frames, metadata), recorded_nodes(metadata))
    codes, expected = network.executor().layers(frames)
    assert first_difference(expected, layer_spikes(recorded, metadata)) is None
    assert len(np.unique(codes, axis=0)) > 1


def test_shared_streams_cost_at_most_1_3_times_what_the_encoder_does(counts: NetworkCounts, network: Network) -> None:
    assert counts.natural is not None
    lowered = sum(layer.synops for layer in counts.layers)
    assert np.all(lowered <= 1.3 * counts.natural.synops)
    assert network.certificate is not None
    assert network.certificate.exact_in == "float32"


def test_biases_in_neurons_cost_a_step_of_operations_for_every_step_of_latency(
    network: Network, counts: NetworkCounts, tmp_path: Path
) -> None:
    """Of a first population nothing; of a hidden one (d late, all biases) d operations a neuron, and not T = 4."""
    path = tmp_path / "encoder.nir"
    export_nir(network, path, streams="shared", biases="neurons")
    cheap = trace_counts(path, random_frames(WIDE, 4), 1e5)
    by_name = [{layer.name: layer for layer in each.layers} for each in (counts, cheap)]
    lags = {each.name: each.latency for each in read_encoder(path)[1].populations}
    first, hidden = "stage1_block0_mixer_lif", "stage1_block0_mlp_hidden_lif"
    assert (lags[first], lags[hidden]) == (0, 1)
    for name in (first, hidden):
        line, neurons = (layers[name] for layers in by_name)
        maps = [node for node in network.graph.sources(name) if network.graph.nodes[node].bias is not None]
        bias = sum(network.graph.nodes[node].bias for node in maps)
        threshold = network.graph.nodes[name].threshold
        pixels = line.neurons // len(bias)
        steps = 4 - lags[name]  # the valid line's, less those in which a neuron is held before its window
        after = (counts.latency - lags[name]) * np.count_nonzero(2 * bias > threshold)
        np.testing.assert_array_equal(line.synops - neurons.synops, (steps * np.count_nonzero(bias) - after) * pixels)
        np.testing.assert_array_equal(line.spikes, neurons.spikes)
    assert counts.natural is not None
    assert cheap.natural is not None
    np.testing.assert_array_equal(cheap.natural.synops, counts.natural.synops)


def test_without_latency_no_graph_has_a_valid_line(tmp_path: Path) -> None:
    config = WIDE.model_copy(update={"levels": (0, 0), "blocks": (1, 1)})
    network, path = build_network(calibrated(config)), tmp_path / "encoder.nir"
    metadata, _ = export_nir(network, path, biases="neurons")
    frames = random_frames(config, 2)
    assert not metadata.valid
    assert input_spikes(frames, metadata).shape == frames.shape
    assert load_encoder(path, "nir").encode(frames).tolist() == network.executor().layers(frames)[0].tolist()
    counts = trace_counts(path, frames, 1e5)
    assert counts.natural is not None
    assert [layer.name for layer in counts.layers if "valid" in layer.name] == []


def test_attention_stays_a_product_where_it_is_asked_for(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "encoder.nir"
    _, size = export_nir(network, path, streams="shared", biases="neurons", attention="product")
    counts = trace_counts(path, random_frames(WIDE, 2), 1e5)
    products = [layer for layer in counts.layers if layer.kind == "attention"]
    assert [layer.name for layer in products if layer.adds is not None] == [
        "stage2_block0_mixer",
        "stage2_block1_mixer",
    ]
    assert not [layer for layer in counts.layers if layer.kind == "threshold" and "stage2" in layer.name]
    assert size.neurons < sum(layer.neurons for layer in counts.layers)


def test_an_event_is_a_value_that_is_not_zero(counts: NetworkCounts, network: Network) -> None:
    """Against torch's convolution: what the first point of the first stream holds before any bias."""
    down = network.graph.nodes["stage1_down"]
    assert isinstance(down, Conv)
    frames = torch.from_numpy(random_frames(WIDE, 4)).double()
    values = functional.conv2d(frames.flatten(0, 1), torch.from_numpy(down.weight), None, 2, 1).unflatten(0, (4, 4))
    events = (values != 0).sum(dim=(1, 2, 3, 4)).numpy()
    layers = {layer.name: layer for layer in counts.layers}
    stream, lif = layers["stage1_down_stream"], layers["stage1_block0_mixer_lif"]
    np.testing.assert_array_equal(stream.spikes, events)
    assert lif.integer_synops is not None
    np.testing.assert_array_equal(lif.integer_synops, events)
    delay = layers["stage1_down_stream_delay1"]
    assert delay.integer_synops is not None
    np.testing.assert_array_equal(delay.integer_synops, events)
    assert (stream.kind, stream.layer) == ("integrator", lif.name)


def chain(*lists: str) -> Graph:
    """A graph of LIFs ``a``, ``b``, ... that read the maps named by the letters of each list, one channel wide."""
    graph = Graph(1)
    source = graph.add("source", Input((1, 1, 1)))
    for name in sorted(set("".join(lists))):
        graph.add(name, Conv((1, 1, 1), np.ones((1, 1, 1, 1))), source)
    for index, maps in enumerate(lists):
        graph.add(f"lif{index}", Lif((1, 1, 1), 1.0), *maps)
    return graph


@pytest.mark.parametrize(
    ("lists", "points"),
    [
        (("d", "dm", "dmc"), {"d_stream": ["d"], "m_stream": ["d_stream", "m"]}),
        (("d", "e"), {}),
        (("dm", "dm"), {"m_stream": ["d", "m"]}),
        (("d", "dabc"), {"d_stream": ["d"]}),
    ],
)
def test_what_several_neurons_build_on_becomes_a_point(lists: tuple[str, ...], points: dict[str, list[str]]) -> None:
    graph = share_streams(chain(*lists))
    assert {name: graph.sources(name) for name, _ in graph.find(Stream)} == points
    for index, maps in enumerate(lists):
        assert sorted(_maps(graph, f"lif{index}")) == sorted(maps)


def _maps(graph: Graph, name: str) -> list[str]:
    """The maps that arrive at a node, through streams or not."""
    found = graph.sources(name)
    return [each for source in found for each in (_maps(graph, source) if source.endswith("_stream") else [source])]


def test_only_chips_with_graded_spikes_hold_a_shared_stream(shared: Path, counts: NetworkCounts) -> None:
    synapses = read_network(shared)
    for profile, refused in (("loihi2", False), ("loihi1", True)):
        for fit in (
            place(synapses, load_profile(profile).profile),
            place_counts(counts.layers, load_profile(profile).profile),
        ):
            broken = [str(check) for check in fit.broken if check.limit == "graded spikes"]
            assert bool(broken) is refused
    first = next(check for check in fit.broken if check.limit == "graded spikes")
    assert str(first) == "stage1_down_stream: graded spikes: needs 1,024, has 0: export with --streams copied"


def test_fixed_point_and_the_portable_dialect_refuse_in_one_line(
    shared: Path, network: Network, tmp_path: Path
) -> None:
    spikes = input_spikes(random_frames(WIDE, 1), read_encoder(shared)[1])
    with pytest.raises(GraphError, match=r"gets potentials from stage1_down_stream.* export with --streams copied$"):
        EmulatorRunner().run(shared, spikes)
    with pytest.raises(GraphError, match=r"portable dialect has no graded spikes: use --streams copied$"):
        export_nir(network, tmp_path / "portable.nir", "portable", streams="shared")
    with pytest.raises(GraphError, match=r"portable dialect has no products of signals: use --attention gates$"):
        export_nir(network, tmp_path / "portable.nir", "portable", attention="product")
    with pytest.raises(GraphError, match=r"portable dialect has no leak potentials: use --biases line$"):
        export_nir(network, tmp_path / "portable.nir", "portable", biases="neurons")
    assert not list(tmp_path.iterdir())
