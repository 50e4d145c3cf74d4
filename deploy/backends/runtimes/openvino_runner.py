"""OpenVINO. Its default takes bfloat16 on a CPU that has it, without a word: the hint keeps float32."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openvino
from numpy.typing import NDArray

ONE_THREAD = {"INFERENCE_NUM_THREADS": 1}
FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}


def run(
    model: Path, frames: NDArray[Any], names: tuple[str, ...], exact: bool = True
) -> Iterator[dict[str, NDArray[Any]]]:
    """Outputs of each recording, by name."""
    options = ONE_THREAD | (FLOAT32 if exact else {})
    compiled = openvino.Core().compile_model(str(model), "CPU", options)
    for recording in frames:
        answers = compiled({"frames": recording[None]})
        yield {name: answers[name].copy() for name in names}
