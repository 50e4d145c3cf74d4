"""ONNX models in other forms: a fixed batch, without spike counts, for ncnn. The network's answers in every one."""

import functools
import re
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from deploy.backends.encoders import load_encoder
from deploy.backends.verify import by_kind
from export.encoder.network import Network, build_network
from export.onnx import to_onnx
from export.onnx.form import Form
from export.onnx.to_onnx import build_onnx, export_onnx
from spikinghash.errors import ComparisonError, GraphError, SpikinghashError
from tests.networks import DEEP, SMALL, TINY, calibrated, random_frames
from training.config import EncoderConfig

CLASSES = SMALL.model_copy(update={"head": "classes", "bits": 5})
NCNN = {"Add", "Clip", "Concat", "Conv", "ConvTranspose", "MatMul", "Mul", "Reshape", "Split", "Sub", "Transpose"}
"""Operators that pnnx turns into layers of ncnn, as ``tests/interop/test_runtimes.py`` shows."""


@functools.cache
def network(config: EncoderConfig) -> Network:
    return build_network(calibrated(config), classes=tuple("abcde") if config is CLASSES else ())


@settings(max_examples=10, deadline=None)
@given(
    config=st.sampled_from([SMALL, TINY, CLASSES]),
    batch=st.sampled_from([None, 1, 2, 5]),
    counts=st.booleans(),
    int8=st.booleans(),
    samples=st.integers(0, 7),
)
def test_every_form_answers_as_the_network(
    tmp_path_factory: pytest.TempPathFactory, config: EncoderConfig, batch: int | None, counts: bool, int8: bool,
    samples: int,
) -> None:  # fmt: skip
    path, net = tmp_path_factory.mktemp("form") / "encoder.onnx", network(config)
    export_onnx(net, path, int8, batch, counts)
    frames = random_frames(config, samples, seed=samples)
    encoder = load_encoder(path, "onnxruntime")
    traced = encoder.trace(frames)
    assert_array_equal(encoder.encode(frames), net.executor().encode(frames))
    assert_array_equal(traced.codes, net.executor().encode(frames))
    _, spikes = net.executor().layers(frames)
    assert traced.counts.keys() == (spikes.keys() if counts else set())
    for name, count in traced.counts.items():
        assert_array_equal(count, spikes[name].sum(axis=(1, 2, 3, 4)))


def test_what_is_fixed_and_what_is_left_out() -> None:
    """A runtime that compiles the graph meets known shapes, and nothing that nobody asked for."""
    net = network(SMALL)
    whole, lean = build_onnx(net), build_onnx(net, Form(batch=3, counts=False))
    ends = [*lean.graph.input, *lean.graph.output]
    assert [end.name for end in ends] == ["frames", "codes"]
    assert [end.type.tensor_type.shape.dim[0].dim_value for end in ends] == [3, 3]
    assert whole.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    inferred = onnx.shape_inference.infer_shapes(lean, data_prop=True).graph.value_info
    assert inferred
    assert all(dim.dim_value for value in inferred for dim in value.type.tensor_type.shape.dim)
    counting = [node for node in whole.graph.node if "spike_counts" in node.name or "ReduceSum" in node.op_type]
    assert len(whole.graph.node) - len(lean.graph.node) > len(net.executor().populations)
    assert len(counting) > len(net.executor().populations)


@pytest.mark.parametrize("config", [SMALL, TINY, DEEP, CLASSES], ids=["small", "tiny", "deep", "classes"])
def test_model_for_ncnn(config: EncoderConfig, tmp_path: Path) -> None:
    """One recording, floats, at most four axes besides the first, operators that ncnn has."""
    path, net = tmp_path / "encoder.onnx", network(config)
    export_onnx(net, path, runtime="ncnn")
    model = onnx.load(path)
    assert {node.op_type for node in model.graph.node} <= NCNN
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    assert {value.type.tensor_type.elem_type for value in values} == {onnx.TensorProto.FLOAT}
    assert max(len(value.type.tensor_type.shape.dim) for value in values) <= 5
    frames = random_frames(config, 24, seed=3)
    expected = net.executor().encode(frames)
    assert len({code.tobytes() for code in expected}) > 2, "equal codes say little"
    for backend in ("onnxruntime", "numpy"):
        answers = load_encoder(path, backend).encode(frames)
        assert answers.dtype == expected.dtype
        assert_array_equal(answers, expected)


@pytest.mark.parametrize("form", [{"runtime": "ncnn"}, {"counts": False}, {"batch": 2}])
def test_a_model_that_answers_otherwise_is_not_written(
    form: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first threshold is another one."""
    net, original = network(SMALL), to_onnx.build_onnx

    def altered(network: Network, form: Form) -> onnx.ModelProto:
        model = original(network, form)
        node = next(node for node in model.graph.node if node.op_type in ("Sub", "Greater"))
        place = 1 if node.op_type == "Sub" else 0
        (tensor,) = [each for each in model.graph.initializer if each.name == node.input[place]]
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 3, tensor.name))
        return model

    monkeypatch.setattr(to_onnx, "build_onnx", altered)
    with pytest.raises(ComparisonError, match="nothing was written"):
        export_onnx(net, tmp_path / "encoder.onnx", **form)
    assert not list(tmp_path.iterdir())


def test_a_fixed_batch_of_any_size_meets_recordings(tmp_path: Path) -> None:
    """More than the self-check draws, fewer than the model takes."""
    net = network(TINY)
    export_onnx(net, tmp_path / "encoder.onnx", batch=40)
    session = onnxruntime.InferenceSession(str(tmp_path / "encoder.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[0] == 40
    frames = random_frames(TINY, 3)
    assert_array_equal(
        load_encoder(tmp_path / "encoder.onnx", "onnxruntime").encode(frames), net.executor().encode(frames)
    )


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"batch": 0}, "--batch 0: "),
        ({"batch": -4}, "--batch -4: "),
        ({"runtime": "ncnn", "batch": 2}, "--batch 2: ncnn takes one recording"),
        ({"runtime": "ncnn", "int8": True}, "--int8: ncnn does not read such weights"),
    ],
)
def test_forms_that_no_model_has(form: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=re.escape(message)):
        export_onnx(network(TINY), tmp_path / "encoder.onnx", **form)
    assert not list(tmp_path.iterdir())


def test_float_numbers_are_not_for_ncnn(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="--for ncnn: it computes in float32, which is not exact here"):
        export_onnx(build_network(calibrated(TINY), "float"), tmp_path / "encoder.onnx", runtime="ncnn")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("config", [SMALL, CLASSES], ids=["small", "classes"])
def test_the_definition_of_the_operators_agrees(config: EncoderConfig, tmp_path: Path) -> None:
    """``onnx.reference``, which shares no code with ONNX Runtime: codes and spike counts."""
    net, frames = network(config), random_frames(config, 5, seed=6)
    export_onnx(net, tmp_path / "encoder.onnx", int8=True)
    traced = load_encoder(tmp_path / "encoder.onnx", "onnxreference").trace(frames)
    codes, spikes = net.executor().layers(frames)
    assert_array_equal(traced.codes, codes)
    assert traced.counts.keys() == spikes.keys()
    for name, counts in traced.counts.items():
        assert_array_equal(counts, spikes[name].sum(axis=(1, 2, 3, 4)))


def test_a_file_that_no_backend_would_run_is_not_said_to_be_verified(tmp_path: Path) -> None:
    export_onnx(network(TINY), tmp_path / "phone.onnx", runtime="ncnn")
    with pytest.raises(SpikinghashError, match=r"--encoder .*phone\.onnx: --backends has none .*: add ncnn"):
        by_kind([tmp_path / "phone.onnx"], ["openvino", "onnxruntime"])
    assert by_kind([tmp_path / "phone.onnx"], ["ncnn"]) == {"ncnn": tmp_path / "phone.onnx"}
