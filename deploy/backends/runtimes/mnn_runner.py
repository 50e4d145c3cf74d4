"""MNN, which reads a format of its own: the model is converted first.

Its command ``mnnconvert`` installs a package by pip and sends a log to its makers when it has a network; the converter
behind it does neither.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _tools
import MNN
import MNN.expr
import MNN.nn
import numpy as np
import onnx
from numpy.typing import NDArray

from spikinghash.files import private_folder

MOST_AXES = 9
"""Of a tensor: MNN_MAX_TENSOR_DIM. The converter ends by a segmentation fault above it."""


def run(
    model: Path, frames: NDArray[Any], names: tuple[str, ...], exact: bool = True
) -> Iterator[dict[str, NDArray[Any]]]:
    """Outputs of each recording, by name."""
    _require_few_axes(model)
    with private_folder() as folder:
        converted = str(folder / "encoder.mnn")
        files = ["--modelFile", str(model), "--MNNModel", converted]
        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *files, "--bizCode", "spikinghash"])
        precision = MNN.expr.PrecisionMode.High if exact else MNN.expr.PrecisionMode.Normal
        module = MNN.nn.load_module_from_file(converted, ["frames"], list(names), precision_mode=precision)
    for recording in frames:
        taken = np.ascontiguousarray(recording[None])  # MNN reads it in place
        value = MNN.expr.const(taken, list(taken.shape), MNN.expr.NCHW, MNN.expr.uint8)
        answers = module.onForward([value])
        yield {name: np.array(answer.read()) for name, answer in zip(names, answers, strict=True)}


def _require_few_axes(model: Path) -> None:
    """Raise a ValueError where a tensor has more axes than MNN knows."""
    graph = onnx.load(model).graph
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    axes = max((tensor.dims[0] for tensor in graph.initializer if tensor.name in shapes), default=0)
    if axes > MOST_AXES:
        raise ValueError(f"a tensor has {axes} axes, MNN knows {MOST_AXES}: train with levels of at most 1")
