"""tract, which is told the batch by whoever loads the model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tract
from numpy.typing import NDArray


def run(
    model: Path, frames: NDArray[Any], names: tuple[str, ...], exact: bool = True
) -> Iterator[dict[str, NDArray[Any]]]:
    """Outputs of each recording, by name; nothing has to be chosen for them to be ``exact``."""
    loaded = tract.onnx().load(str(model))
    loaded.set_input_fact(0, ",".join(map(str, (1, *frames.shape[1:]))) + ",u8")
    for output in range(len(names)):
        loaded.set_output_fact(output, None)  # their batch follows from the input's
    runnable = loaded.into_model().into_runnable()
    for recording in frames:
        answers = runnable.run([np.ascontiguousarray(recording[None])])
        yield {name: answer.to_numpy() for name, answer in zip(names, answers, strict=True)}
