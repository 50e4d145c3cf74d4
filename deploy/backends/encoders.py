"""Every runtime behind one protocol: which backend runs which file.

A backend is imported when an encoder is loaded for it, so that nobody waits for a library that is not used.
"""

from importlib import metadata
from pathlib import Path

from deploy.backends.encoder import Codes as Codes
from deploy.backends.encoder import Encoder as Encoder
from deploy.backends.encoder import Executor as Executor
from deploy.backends.encoder import Frames as Frames
from deploy.backends.encoder import RunNumbers as RunNumbers
from deploy.backends.encoder import Trace as Trace
from deploy.backends.runtimes import RUNNERS as RUNTIMES
from deploy.backends.simulators import RUNNERS as SIMULATORS
from spikinghash.errors import GraphError, SpikinghashError
from spikinghash.names import meant
from spikinghash.resources import CHECKPOINTS, offered

BACKENDS: dict[str, tuple[str, ...]] = {
    ".pt": ("events", "numpy", "torch"),
    ".onnx": ("events", "numpy", "onnxruntime", "onnxreference", *RUNTIMES),
    ".nir": ("nir", "lava", *SIMULATORS),
}
"""Backends by the suffix of the encoder's file; the first is the default."""


def load_encoder(
    path: Path,
    backend: str | None = None,
    numbers: RunNumbers = "integer",
    threads: int = 0,
    executor: Executor | None = None,
    warming: bool = False,
) -> Encoder:
    """Load the encoder ``path`` for ``backend``, by default the first that its suffix allows and that can run it.

    Args:
        threads: of an .onnx model and a .pt; 0 for all cores.
        executor: of a .nir on Lava.
        warming: where ``events`` is the default, begin in NumPy, and compile when more than a few recordings come.

    Raises:
        SpikinghashError: the file cannot be used, or the backend does not run such files.
    """
    allowed = BACKENDS.get(path.suffix)
    if allowed is None:
        own = offered(path, CHECKPOINTS, ".onnx")
        raise GraphError(f"{path}: unknown kind of encoder: use {', '.join(BACKENDS)}{own}")
    if backend is not None and backend not in allowed:
        others = f"{' or '.join(allowed)}{meant(backend, allowed)}"
        raise SpikinghashError(f"--backend {backend}: does not run {path.suffix} files: use {others}")
    if not path.exists():
        raise GraphError(f"{path}: no such file{offered(path, CHECKPOINTS, '.onnx')}")
    if path.suffix == ".nir" and numbers != "float":
        from deploy.backends.nir_backend import NirEncoder, graph_runner

        name = backend or allowed[0]
        return NirEncoder(path, graph_runner(name, numbers, executor, threads), name)
    chosen = backend or _default(path, numbers)
    if numbers == "fixed" or executor is not None:
        option = "--numbers fixed" if executor is None else f"--executor {executor}"
        raise SpikinghashError(f"{option}: {chosen} cannot: export a .nir file and use --backend lava")
    if numbers != "integer" and chosen != "torch":
        raise SpikinghashError(f"--numbers {numbers}: {path} holds its own numbers: choose them when exporting")
    return _load(path, chosen, numbers, threads, warming and backend is None)


def load_hasher(path: Path, threads: int = 0, backend: str | None = None) -> Encoder:
    """``load_encoder`` of what must give codes.

    Raises:
        SpikinghashError: the file cannot be used, or its head gives classes.
    """
    encoder = load_encoder(path, backend, threads=threads)
    if encoder.classes:
        raise SpikinghashError(
            f"{path}: it tells {len(encoder.classes)} classes, and has no codes to search by: train with "
            'encoder.head = "hash"'
        )
    return encoder


def _load(path: Path, backend: str, numbers: RunNumbers, threads: int, warming: bool) -> Encoder:
    if backend == "torch":
        from deploy.backends.torch_backend import TorchEncoder

        return TorchEncoder(path, "float" if numbers == "float" else "integer", threads)
    if backend == "onnxruntime":
        from deploy.backends.onnx_backend import OnnxEncoder

        return OnnxEncoder(path, threads)
    if backend == "onnxreference" or backend in RUNTIMES:
        from deploy.backends.runtime_backend import ReferenceEncoder, RuntimeEncoder

        return ReferenceEncoder(path, backend) if backend == "onnxreference" else RuntimeEncoder(path, backend)
    from deploy.backends.events.files import read_encoder
    from deploy.backends.numpy_backend import NumpyEncoder, WarmingEncoder

    network, data = read_encoder(path)
    if backend == "numpy":
        return NumpyEncoder(network, data)
    if warming:
        return WarmingEncoder(network, threads, data)
    from deploy.backends.events.encoder import EventsEncoder

    return EventsEncoder(network, threads, data)


def _default(path: Path, numbers: RunNumbers) -> str:
    """The backend for a checkpoint or an ONNX model that nobody has named one for."""
    if path.suffix == ".pt":
        return "events" if numbers == "integer" else "torch"
    if path.suffix == ".nir":
        return BACKENDS[".nir"][0]
    from deploy.backends.events.files import holds_network

    return "events" if not _has_gpu() and holds_network(path) else "onnxruntime"


def _has_gpu() -> bool:
    """Whether the ONNX Runtime that is installed is that for GPUs."""
    try:
        return bool(metadata.version("onnxruntime-gpu"))
    except metadata.PackageNotFoundError:
        return False
