"""The work of the un-lowered encoder against matrices written out, torch's counter and loops."""

import json
import math
from pathlib import Path

import nir
import numpy as np
import onnx
import pytest
import torch
from networks import DEEP, SMALL, calibrated, random_frames
from onnx import TensorProto, helper
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import energy_by_hand
from deploy.energy.assessment import SPIKING
from deploy.energy.model import assess
from deploy.energy.networks.baselines import ann_twin, qnn_twin
from export.encoder.natural import neurons
from export.encoder.network import Network, build_network, load_network
from export.encoder.node import Linear
from export.encoder.operations import Attention, Dense, WaveMixer, attention
from export.nir.metadata import read_encoder, write_nir
from export.nir.to_nir import export_nir, natural_work
from export.onnx.counting import count_onnx
from export.onnx.to_onnx import build_onnx
from export.synaptic.counting import trace_counts
from export.synaptic.counts import NetworkCounts
from export.synaptic.natural import NaturalCounts
from hardware_profiles.loader import load_profile
from training.config import EncoderConfig

CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "dense" / "digits.pt"
CONVOLUTIONS = SMALL.model_copy(update={"mixers": ("conv", "conv", "ssa")})
IN_TIME = SMALL.model_copy(update={"wavelet": "time"})
IN_SPACE = SMALL.model_copy(update={"wavelet": "space"})
CONFIGS = {"small": SMALL, "deep": DEEP, "conv": CONVOLUTIONS, "time": IN_TIME, "space": IN_SPACE}


def network(config: EncoderConfig) -> Network:
    return build_network(calibrated(config))


def unrolled_fan_out(net: Network, name: str, source_shape: tuple[int, int, int]) -> np.ndarray:
    """Outputs that each source neuron and step reaches, (T, C, H, W): the responses to one spike at a time."""
    node, steps = net.graph.nodes[name], net.graph.time_steps
    assert isinstance(node, Linear)
    size = steps * math.prod(source_shape)
    impulses = torch.eye(size, dtype=torch.float64).reshape(size, steps, *source_shape).transpose(0, 1)
    responses = node.currents(impulses, torch.from_numpy(node.weight))
    return (responses != 0).sum(dim=(0, 2, 3, 4)).reshape(steps, *source_shape).numpy()


def spikes_of(net: Network, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Spikes of every population, (B, T, C, H, W)."""
    traced = net.executor().layers(frames)[1]
    return traced | {"input": frames}


@pytest.mark.parametrize("name", list(CONFIGS))
def test_synaptic_operations_against_matrices_written_out(name: str, tmp_path: Path) -> None:
    """Every map as a dense matrix over the whole window, multiplied with the spikes of the un-lowered network."""
    config = CONFIGS[name]
    net, frames = network(config), random_frames(config, 3)
    export_nir(net, tmp_path / "e.nir")
    counts = trace_counts(tmp_path / "e.nir", frames, 1e5).natural
    assert counts is not None
    spikes = spikes_of(net, frames)
    assert [each.map.name for each in counts.maps] == [
        name for name, node in net.graph.nodes.items() if isinstance(node, Linear | Attention)
    ]
    for each in counts.maps:
        source = spikes[each.map.source]
        node = net.graph.nodes[each.map.name]
        if isinstance(node, Attention):
            q, k, _ = np.split(source, 3, axis=2)
            expected = (q.sum(axis=(1, 2, 3, 4)) + k.sum(axis=(1, 2, 3, 4))) * (node.shape[0] // node.heads)
        else:
            expected = np.tensordot(source, unrolled_fan_out(net, each.map.name, source.shape[2:]), axes=4)
        np.testing.assert_array_equal(each.synops, expected, err_msg=each.map.name)
    for population in counts.neurons:
        if population.neurons.name != "vote":
            emitted = spikes[population.neurons.name]
            np.testing.assert_array_equal(population.spikes, emitted.sum(axis=(1, 2, 3, 4)))
            assert population.neurons.neurons == math.prod(emitted.shape[2:])
    assert counts.input_bits == frames[0].size


def test_an_attention_that_stays_a_product_counts_the_same(tmp_path: Path) -> None:
    net, frames, found = network(SMALL), random_frames(SMALL, 2), []
    for limit in (1, attention.LARGEST_GATES):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "LARGEST_GATES", limit)
            export_nir(net, tmp_path / "e.nir")
        natural = trace_counts(tmp_path / "e.nir", frames, 1e5).natural
        assert natural is not None
        found.append([each.synops.tolist() for each in natural.maps])
    assert found[0] == found[1]


# Sizes


def test_weights_that_a_structure_repeats_are_stored_once() -> None:
    """Two members of a block lie in cells that differ at the coarse level along some axes, or else at the fine one."""
    net = network(SMALL)
    mixer = net.graph.nodes["stage1_block0_mixer"]
    assert isinstance(mixer, WaveMixer)
    places = np.indices((4, 4, 4)).reshape(3, -1).T
    by_relation: dict[tuple[object, ...], float] = {}
    for group, out, inp in np.ndindex(2, 2, 2):
        kernel = mixer.weight.reshape(2, 2, 64, 2, 64)[group, out, :, inp]
        for i, j in np.ndindex(64, 64):
            coarse, fine = tuple(places[i] // 2 != places[j] // 2), tuple(places[i] != places[j])
            relation = (group, out, inp, coarse, () if any(coarse) else fine)
            assert by_relation.setdefault(relation, kernel[i, j]) == kernel[i, j]
    assert len(by_relation) == 8 * (7 * 2 + 1)  # as many as a group has subbands
    assert len(mixer.stored_weights()) == np.count_nonzero(list(by_relation.values()))
    head = net.graph.nodes["head_linear"]
    assert isinstance(head, Dense)
    assert len(head.stored_weights()) == np.count_nonzero(head.weight[:, 0, 0, :, 0, 0])


def test_streams_are_read_and_written_where_the_sums_are() -> None:
    """Two blocks: the first neuron of a stage reads no stream, the last one writes none."""
    net = network(DEEP)
    found = {each.name: each for each in neurons(net.graph, net.certificate)}
    expected = {
        "stage1_block0_mixer_lif": 1, "stage1_block0_mlp_lif": 2, "stage1_block1_mixer_lif": 2,
        "stage1_block1_mlp_lif": 2, "stage1_block0_mlp_hidden_lif": 0, "stage2_down_lif": 1, "hash_lif": 0,
    }  # fmt: skip
    assert {name: found[name].stream_accesses for name in expected} == expected
    assert found["stage2_down_lif"].adds == 2  # its bias and the stream
    assert found["stage2_block0_mixer_attention_lif"].multiplies == 1
    assert net.certificate is not None
    for bound in net.certificate.bounds:
        assert found[bound.population].state_bits == bound.bits
        bits = found[bound.population].current_bits
        assert -(2 ** (bits - 1)) <= bound.lowest
        assert bound.highest < 2 ** (bits - 1)


# ONNX


def test_an_onnx_graph_by_hand() -> None:
    """A convolution with bias, a comparison, a conversion, a sum and a product of two activations."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, (4, 1, 3, 3), np.ones(36))
    bias = helper.make_tensor("b", TensorProto.FLOAT, (4,), np.ones(4))
    zero = helper.make_tensor("zero", TensorProto.FLOAT, (), [0.0])
    shape = helper.make_tensor("shape", TensorProto.INT64, (3,), [-1, 4, 64])
    axes = helper.make_tensor("axes", TensorProto.INT64, (1,), [2])
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4, group=2),
        helper.make_node("Greater", ["c", "zero"], ["g"]),
        helper.make_node("Cast", ["g"], ["s"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["s", "shape"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["r", "t"], ["m"]),
        helper.make_node("ReduceSum", ["m", "axes"], ["y"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2, 8, 8])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weight, bias, zero, shape, axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model, full_check=True)
    work = count_onnx(model)
    assert work.macs == 4 * 64 * 9 + 4 * 4 * 64
    assert work.operations == 3 * 256 + 16  # bias, comparison, conversion; what the sum reads
    moved = (128 + 256) + 2 * 256 + 2 * 256 + 2 * 256 + (2 * 256 + 16) + (16 + 4)
    assert (work.values_moved, work.weights, work.input_bytes) == (moved, 36 + 4 + 1, 128)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_the_onnx_graph_multiplies_as_often_as_the_network(name: str) -> None:
    """Counted from the file, against torch's counter on the executor; bits are packed by a product."""
    net = network(CONFIGS[name])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.executor().trace(torch.from_numpy(random_frames(net.config, 1)))
    whole = counter.get_total_flops() // 2 + net.config.bits * (net.config.bits // 8)
    macs = count_onnx(build_onnx(net)).macs
    if name in ("small", "time", "space"):  # split by level in the file, whole block maps in the executor
        assert whole / 4 < macs < whole
    else:
        assert macs == whole


def test_the_dense_encoder_on_a_processor() -> None:
    """Within a tenth of the multiply-accumulates of its ONNX graph at the profile's own rate and power."""
    net = load_network(CHECKPOINT)
    work = natural_work(net)
    assert work.onnx.macs == pytest.approx(43.0e6, rel=0.001)  # 53.8e6 with whole block maps
    loaded = load_profile("x86_cpu")
    natural = NaturalCounts((), (), work.onnx, 0)
    counts = NetworkCounts("n sha256:1", 1, 8, 8, 0, 3e5, (), natural=natural)
    (scenario,) = (each for each in assess(loaded, counts, []).scenarios if each.network == SPIKING)
    rate, power = loaded.profile.rate["fp32"][0].value * 1e12, loaded.profile.power["busy"][0].value
    assert scenario.bill.total.nominal == pytest.approx(2 * work.onnx.macs / rate * power, rel=0.1)


def test_the_report_is_what_is_added_up_by_hand(tmp_path: Path) -> None:
    export_nir(network(SMALL), tmp_path / "e.nir")
    counts = trace_counts(tmp_path / "e.nir", random_frames(SMALL, 3), 1e5)
    qnn = qnn_twin(ann_twin(SMALL, 1), SMALL.time_steps)
    rows = list(energy_by_hand.compare(counts, qnn))
    assert len(rows) == 3
    for name, by_hand, reported in rows:
        assert 0 < by_hand == pytest.approx(reported, rel=1e-9), name


# Files


def test_the_metadata_keep_the_work(tmp_path: Path) -> None:
    net = network(SMALL)
    export_nir(net, tmp_path / "e.nir")
    assert read_encoder(tmp_path / "e.nir")[1].work == natural_work(net)


def test_a_file_of_a_former_version_is_traced_without_it(tmp_path: Path) -> None:
    export_nir(network(SMALL), tmp_path / "e.nir")
    graph, metadata = read_encoder(tmp_path / "e.nir")
    former = json.loads(metadata.model_dump_json())
    del former["work"]
    assert isinstance(graph, nir.NIRGraph)
    write_nir(tmp_path / "old.nir", graph, type(metadata).model_validate(former))
    assert trace_counts(tmp_path / "old.nir", random_frames(SMALL, 1), 1e5).natural is None
