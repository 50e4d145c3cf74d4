"""Whatever a config accepts is exported, and computes alike everywhere: spike for spike, in every layer.

The trained network (its modules, step by step, on their grids) == the integer network == ONNX == events == NIR, and on
a share of the examples == Lava, all run in memory on small encoders that hypothesis draws.
"""

from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings

from deploy.backends.events.encoder import EventsEncoder
from deploy.backends.lava_backend import find_interpreter
from export.encoder.integer import IntegerNetwork
from export.encoder.lowering import lower
from export.encoder.network import Network, build_network
from export.encoder.operations import Attention, Lif
from export.encoder.recorded import recorded_network
from export.nir.describe import describe
from export.nir.dialects.native import write_native
from export.nir.interpreter import Interpreter
from export.nir.metadata import Metadata
from export.nir.trace import first_difference, input_spikes, layer_spikes, output_answers, recorded_nodes
from export.onnx.to_onnx import build_onnx
from spikinghash.errors import MissingToolError
from tests.lava_jobs import LavaServer
from tests.networks import random_frames
from training.config import EncoderConfig
from training.model.encoder import Spikinghash
from training.model.plain import PlainEncoder, PlainLif, PlainLifWithPotentials, PlainWaveMixer
from training.quantised import choose_grids, fold, put_on_grids

MOST_GATES = 2000
EXAMPLES, ON_LAVA = 200, 25
SAMPLES = 2
Spikes = dict[str, np.ndarray[Any, Any]]
DEEPEST = EncoderConfig(
    time_steps=8, size=32, channels=(3, 6, 5), blocks=(2, 1, 1), mixers=("swm", "swm", "ssa"), levels=(3, 2, 0),
    channels_per_group=3, heads=(0, 0, 5), mlp_ratio=1, head="classes", bits=3,
)  # fmt: skip
"""All levels that there are, which are seldom drawn, and an attention behind them."""


@st.composite
def configs(draw: st.DrawFn) -> EncoderConfig:
    """Tiny encoders of every kind: mixers in any order, levels 0 to 3, no block or several, odd groups, both heads."""
    stages = draw(st.integers(1, 3))
    size = draw(st.sampled_from([side for side in (2, 4, 8, 16) if side % 2**stages == 0]))
    steps = draw(st.sampled_from([1, 2, 3, 4, 8]))
    group = draw(st.integers(1, 3))
    channels = tuple(group * draw(st.integers(1, 2)) for _ in range(stages))
    sides = [size >> (stage + 1) for stage in range(stages)]
    possible = [[level for level in range(4) if side % 2**level == 0 == steps % 2**level] for side in sides]
    classes = draw(st.booleans())
    return EncoderConfig(
        time_steps=steps,
        size=size,
        channels=channels,
        blocks=tuple(draw(st.sampled_from([1, 1, 1, 2, 0])) for _ in range(stages)),
        mixers=tuple(draw(st.sampled_from(["swm", "swm", "ssa", "conv", "dwconv"])) for _ in range(stages)),
        levels=tuple(draw(st.sampled_from(levels[::-1])) for levels in possible),
        wavelet=draw(st.sampled_from(["space-time", "time", "space"])),
        channels_per_group=group,
        heads=tuple(draw(st.sampled_from([k for k in range(1, c + 1) if c % k == 0])) for c in channels),
        mlp_ratio=draw(st.integers(1, 2)),
        head="classes" if classes else "hash",
        bits=draw(st.integers(2, 5)) if classes else 8,
        vote=draw(st.none() | st.integers(1, steps)),
    )


def trained(config: EncoderConfig, seed: int) -> Spikinghash:
    """A network on its grids, whose layers do spike: batch norm has seen one batch."""
    torch.manual_seed(seed)
    model = Spikinghash(config)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            torch.nn.init.uniform_(parameter, 1.0, 2.0)
        if name.endswith("norm.bias"):
            torch.nn.init.uniform_(parameter, -0.2, 0.8)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(torch.from_numpy(random_frames(config, 8, seed)))
    fold(model)
    put_on_grids(model, choose_grids(model))
    return model.eval()


def spikes_of(model: Spikinghash, network: Network, frames: np.ndarray[Any, Any]) -> Spikes:
    """What the neurons of the trained network did, by the names that they have in the graph, (B, T, C, H, W)."""
    plain, seen = PlainEncoder(model), []
    for module in plain.modules():
        if isinstance(module, PlainWaveMixer):
            module.forward = module.mixer.forward_blocks  # on its grid; ptwt's transform has none
        elif isinstance(module, PlainLif):
            module.register_forward_hook(lambda _, __, spikes: seen.append(spikes))
        elif isinstance(module, PlainLifWithPotentials):
            module.register_forward_hook(lambda _, __, output: seen.append(output[0]))
    with torch.no_grad():
        plain(torch.from_numpy(frames))
    neurons = dict(network.graph.find(Lif))
    shapes = (node.shape for node in neurons.values())
    found = [
        each.transpose(0, 1).reshape(len(frames), -1, *shape).numpy() for each, shape in zip(seen, shapes, strict=True)
    ]
    return dict(zip(neurons, found, strict=True))


def same_everywhere(config: EncoderConfig, seed: int) -> tuple[Network, Any, Spikes]:
    """Compare all but NIR; returns the network, its answers and spikes on random frames."""
    model = trained(config, seed)
    network, frames = build_network(model), random_frames(config, SAMPLES, seed + 1)
    answers, spikes = network.executor().layers(frames)
    assert network.certificate is not None
    assert network.certificate.exact_in == "float32"
    wanted = spikes_of(model, network, frames)
    assert first_difference(wanted, spikes) is None
    last = wanted["class_lif" if network.classes else "hash_lif"].sum(1).reshape(SAMPLES, -1)
    by_hand = last.astype(np.int32) if network.classes else np.packbits(last >= config.votes, axis=1)
    np.testing.assert_array_equal(answers, by_hand)
    require_rebuilt(network)
    runtime = EventsEncoder(network.integer(), threads=1).trace(frames)
    np.testing.assert_array_equal(runtime.codes, answers)
    assert first_difference(spikes, runtime.spikes) is None
    session = onnxruntime.InferenceSession(build_onnx(network).SerializeToString(), providers=["CPUExecutionProvider"])
    found, *_, counts = session.run(None, {"frames": frames})
    np.testing.assert_array_equal(found, answers)
    np.testing.assert_array_equal(counts, np.stack([each.sum((1, 2, 3, 4)) for each in spikes.values()], axis=1))
    return network, answers, spikes


def require_rebuilt(network: Network) -> None:
    """The records, as an ONNX model holds them, lead back to every number of the network."""
    read = IntegerNetwork.from_text(network.integer().to_text(), "text")
    found = recorded_network(network.config, read, checkpoint_sha256="", grid_steps={}, classes=network.classes)
    assert found.certificate == network.certificate
    assert (found.graph.edges, found.graph.groups) == (network.graph.edges, network.graph.groups)
    assert list(found.graph.nodes) == list(network.graph.nodes)
    for name, node in network.graph.nodes.items():
        for key, value in vars(node).items():
            np.testing.assert_array_equal(getattr(found.graph.nodes[name], key), value, f"{name}: {key}")


def has_few_gates(network: Network) -> bool:
    """Whether writing the attentions out as gates takes less time than all else."""
    return sum(node.gates for _, node in network.graph.find(Attention)) <= MOST_GATES


def lowered(network: Network, attention: Any, streams: Any, biases: Any) -> tuple[Any, Metadata]:
    """The network as a native NIR graph, not written."""
    graph, form = write_native(lower(network.graph, True, streams, biases, attention))
    return graph, describe(network, form, "native", None, streams, biases, flat=False)


forms = st.tuples(
    st.sampled_from(["gates", "product"]), st.sampled_from(["copied", "shared"]), st.sampled_from(["line", "neurons"])
)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(configs(), st.integers(0, 2**16), forms)
@example(DEEPEST, 0, ("product", "copied", "line"))
def test_every_encoder_computes_alike_everywhere(config: EncoderConfig, seed: int, form: tuple[str, str, str]) -> None:
    network, answers, spikes = same_everywhere(config, seed)
    if not has_few_gates(network):
        form = ("product", *form[1:])
    graph, metadata = lowered(network, *form)
    interpreter = Interpreter(graph)
    frames = input_spikes(random_frames(config, SAMPLES, seed + 1), metadata)
    outputs, recorded = interpreter.run(frames, recorded_nodes(metadata))
    assert first_difference(spikes, layer_spikes(recorded, metadata)) is None
    np.testing.assert_array_equal(output_answers(outputs, metadata), answers)


@pytest.fixture(scope="module")
def lava(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LavaServer]:
    try:
        interpreter = find_interpreter()
    except MissingToolError as error:
        pytest.skip(str(error))
    server = LavaServer(interpreter, tmp_path_factory.mktemp("lava"))
    yield server
    server.close()


@settings(max_examples=ON_LAVA, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(configs(), st.integers(0, 2**16), forms)
@example(DEEPEST, 0, ("product", "copied", "line"))
def test_lava_computes_alike(lava: LavaServer, config: EncoderConfig, seed: int, form: tuple[str, str, str]) -> None:
    network = build_network(trained(config, seed))
    if not has_few_gates(network):
        form = ("product", *form[1:])
    graph, metadata = lowered(network, *form)
    frames = random_frames(config, SAMPLES, seed + 1)
    answers, spikes = network.executor().layers(frames)
    outputs, recorded = lava.run(graph, input_spikes(frames, metadata), recorded_nodes(metadata))
    assert first_difference(spikes, layer_spikes(recorded, metadata)) is None
    np.testing.assert_array_equal(output_answers(outputs, metadata), answers)
