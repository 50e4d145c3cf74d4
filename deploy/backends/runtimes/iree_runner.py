"""IREE, which compiles the model for this CPU first: ten seconds for a committed encoder."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import iree.compiler
import iree.runtime
import numpy as np
import onnx  # noqa: F401 (the importer needs it)
from numpy.typing import NDArray

from spikinghash.files import private_folder

TARGET = ("--iree-llvmcpu-target-cpu=host",)
GRAPH = "encoder"
"""Name of the ONNX graph, which becomes the function's."""


def run(
    model: Path, frames: NDArray[Any], names: tuple[str, ...], exact: bool = True
) -> Iterator[dict[str, NDArray[Any]]]:
    """Outputs of each recording, by name; nothing has to be chosen for them to be ``exact``."""
    config = iree.runtime.Config("local-sync")  # one thread
    module = iree.runtime.VmModule.copy_buffer(config.vm_instance, _compiled(model))
    encode = iree.runtime.load_vm_module(module, config)[GRAPH]
    for recording in frames:
        answers = encode(np.ascontiguousarray(recording[None]))
        answers = answers if isinstance(answers, tuple | list) else (answers,)
        yield {name: np.array(answer.to_host()) for name, answer in zip(names, answers, strict=True)}


def _compiled(model: Path) -> bytes:
    with private_folder() as folder:
        imported = folder / "encoder.mlir"
        command = [sys.executable, "-m", "iree.compiler.tools.import_onnx", str(model), "-o", str(imported)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"its importer refuses it: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        compiled: bytes = iree.compiler.compile_file(
            str(imported), input_type="onnx", target_backends=["llvm-cpu"], extra_args=TARGET
        )
    return compiled
