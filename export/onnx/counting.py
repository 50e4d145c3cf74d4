"""The work of an ONNX graph, counted from the graph: multiply-accumulates, other operations, values moved."""

from math import prod

import onnx

from export.encoder.work import OnnxWork
from spikinghash.errors import GraphError

_PRODUCTS = ("MatMul", "Gemm", "Conv")
_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Constant")
"""They move nothing."""
_MOVES = ("Transpose", "Concat", "Split", "Slice", "Pad", "Gather", "Expand", "DequantizeLinear")
"""They compute nothing."""
_REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceMax", "ArgMax")

Shapes = dict[str, tuple[int, ...]]


def count_onnx(model: onnx.ModelProto) -> OnnxWork:
    """Work of ``model`` on one recording.

    Every tap of a convolution counts, those on the padding too, and every element of any other operator once: what a
    reduction reads, what all others write.

    Raises:
        GraphError: the shape of a tensor does not follow from the graph.
    """
    shapes = tensor_shapes(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    macs = operations = moved = 0
    for node in model.graph.node:
        read = [shapes[name] for name in node.input if name and name not in constants]
        written = [shapes[name] for name in node.output]
        macs += _macs(node, shapes)
        operations += _operations(node, shapes)
        moved += 0 if node.op_type in _VIEWS else sum(map(prod, [*read, *written]))
    weights = sum(prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type != onnx.TensorProto.INT64)
    (frames,) = model.graph.input
    return OnnxWork(
        macs=macs, operations=operations, values_moved=moved, weights=weights, input_bytes=prod(shapes[frames.name])
    )


def tensor_shapes(model: onnx.ModelProto) -> Shapes:
    """The shape of every tensor for a batch of one."""
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for value in [*single.graph.input, *single.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(single, strict_mode=True, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in [*graph.input, *graph.output, *graph.value_info]:
        dims = value.type.tensor_type.shape.dim
        if any(not dim.HasField("dim_value") for dim in dims):
            raise GraphError(f"ONNX tensor {value.name}: its shape does not follow from the graph")
        shapes[value.name] = tuple(dim.dim_value for dim in dims)
    return shapes


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type not in _PRODUCTS:
        return 0
    first, second = (shapes[name] for name in node.input[:2])
    transposed = any(each.name == "transA" and each.i for each in node.attribute)
    taps = prod(second[1:]) if node.op_type == "Conv" else first[-2 if transposed else -1]
    return prod(shapes[node.output[0]]) * taps


def _operations(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type in (*_VIEWS, *_MOVES):
        return 0
    if node.op_type in _PRODUCTS:  # the third input is the bias
        return prod(shapes[node.output[0]]) if len(node.input) > 2 else 0
    reduces = node.op_type in _REDUCTIONS
    return prod(shapes[node.input[0]]) if reduces else sum(prod(shapes[name]) for name in node.output)
