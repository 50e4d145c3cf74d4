"""ncnn, which takes what pnnx makes of a model written with ``--for ncnn``.

Weights stay in 32 bits (``fp16=0``), and so does the arithmetic: ncnn takes 16 where a processor has them.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
import pnnx
from numpy.typing import NDArray

from spikinghash.files import private_folder

IN_16_BITS = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")


def run(
    model: Path, frames: NDArray[Any], names: tuple[str, ...], exact: bool = True
) -> Iterator[dict[str, NDArray[Any]]]:
    """The output of each recording, by name."""
    (name,) = names
    with ncnn.Net() as net:
        net.opt.num_threads = 1
        for option in IN_16_BITS if exact else ():
            setattr(net.opt, option, False)
        _load(net, model, frames.shape[1:], exact)
        for recording in frames:
            taken = np.ascontiguousarray(recording, np.float32)  # named: a Mat does not keep what it shows alive
            with net.create_extractor() as extractor:
                extractor.input("in0", ncnn.Mat(taken))
                _, answer = extractor.extract("out0")
                yield {name: np.array(answer).reshape(1, -1)}


def _load(net: Any, model: Path, shape: tuple[int, ...], exact: bool) -> None:
    """Convert ``model`` and load it.

    Raises:
        RuntimeError: it cannot be converted, or not loaded.
    """
    with private_folder() as folder:
        copy = folder / "encoder.onnx"  # pnnx writes beside what it reads
        copy.write_bytes(model.read_bytes())
        sizes = ",".join(map(str, (1, *shape)))
        command = [pnnx.EXEC_PATH, str(copy), f"inputshape=[{sizes}]", *(["fp16=0"] if exact else [])]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        files = [folder / f"encoder.ncnn.{kind}" for kind in ("param", "bin")]
        if done.returncode or not all(file.exists() for file in files):
            raise RuntimeError(f"pnnx cannot convert it (exit code {done.returncode})")
        if net.load_param(str(files[0])) or net.load_model(str(files[1])):
            raise RuntimeError("ncnn lacks a layer of it")
