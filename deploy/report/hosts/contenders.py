"""What is measured: an encoder in the runtimes that users have, and the conventional networks of its report."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.backends.encoders import load_encoder
from deploy.backends.events.files import holds_network
from deploy.backends.onnx_backend import OnnxEncoder
from deploy.backends.runtime_backend import onnx_metadata
from deploy.report.hosts.machine import describe_machine
from deploy.report.hosts.measure import Contender, Plan, measure, measure_idle, open_counters
from deploy.report.hosts.results import SPIKING_KIND, Hosts, Run, Subject
from export.nir.metadata import Metadata
from export.synaptic.counts import network_id
from spikinghash.errors import GraphError, MissingToolError
from spikinghash.extras import told_of_extras
from spikinghash.files import private_folder
from spikinghash.progress import working
from spikinghash.resources import CHECKPOINTS, RECORDINGS, named, offered
from training.data.reader import Reader, binned
from training.data.sampling import recording_files, spread_windows

Frames = NDArray[np.uint8]
COUNT = 64
"""Recordings of a pass."""
DIGITS = "digits that come along"
BATCHES = (1, 64)
IDLE = 5.0
"""Seconds of waiting, for the idle power."""


def measure_encoders(
    encoders: Sequence[Path], plan: Plan, idle_seconds: float = IDLE, recordings: Sequence[Path] = ()
) -> Hosts:
    """Measure ``encoders``, each beside its twins; a bare name is an encoder that comes along.

    Args:
        recordings: files, or folders of them, which are read as those of the training; none, the digits that come
            along.

    Raises:
        SpikinghashError: a file cannot be used.
    """
    power = measure_idle(*open_counters(), idle_seconds)
    runs: list[Run] = []
    notes: list[str] = []
    for encoder in encoders:
        with private_folder() as folder:
            found, missing = contenders(named(encoder, CHECKPOINTS, ".onnx"), folder, recordings)
            runs += measure(found, plan, power)
            notes += missing
    of = ", ".join(map(str, recordings)) or DIGITS
    return Hosts(machine=describe_machine(), recordings=of, idle=power.idle, runs=tuple(runs), notes=tuple(notes))


def contenders(encoder: Path, folder: Path, recordings: Sequence[Path] = ()) -> tuple[list[Contender], tuple[str, ...]]:
    """The encoder and its twins on the same recordings, and what is missing; files are written to ``folder``.

    Args:
        encoder: an ONNX model or a checkpoint.

    Raises:
        SpikinghashError: the file cannot be used.
    """
    model = _model(encoder, folder)
    metadata = onnx_metadata(model)
    about = {
        "encoder": encoder.name,
        "network": network_id(encoder),
        "checkpoint_sha256": metadata.checkpoint_sha256,
    }
    frames = _frames(metadata, recordings)
    found = list(_spiking(model, metadata, about, frames))
    try:
        return found + list(_conventional(encoder, metadata, about, frames, folder)), ()
    except MissingToolError as error:
        return found, (f"{encoder.name}: no twins, which are built in torch: {error}",)


def _model(encoder: Path, folder: Path) -> Path:
    """The encoder as an ONNX model, which is written of a checkpoint."""
    own = offered(encoder, CHECKPOINTS, ".onnx")
    if encoder.suffix not in (".onnx", ".pt"):
        raise GraphError(f"{encoder}: what runs on a processor is the ONNX model: give the .onnx or the .pt{own}")
    if not encoder.exists():
        raise GraphError(f"{encoder}: no such file{own}")
    if encoder.suffix == ".onnx":
        return encoder
    path = folder / f"{encoder.stem}.onnx"
    with told_of_extras(), working(f"exporting {encoder.name}"):
        from export.encoder.network import load_network
        from export.onnx.to_onnx import export_onnx

        export_onnx(load_network(encoder), path)
    return path


def _frames(metadata: Metadata, recordings: Sequence[Path]) -> Frames:
    """``COUNT`` recordings (COUNT, T, 2, H, W), evenly spread; each several times where there are fewer."""
    reader = Reader.of(metadata.data) if recordings else Reader()
    files = list(recording_files(recordings or [RECORDINGS]))
    chosen = files[:: max(1, len(files) // COUNT)]
    parts = [binned(reader.read(file), metadata.time_steps, metadata.size)[1] for file in chosen]
    frames = spread_windows(parts, COUNT)
    return frames[np.arange(COUNT) % len(frames)]


def _spiking(model: Path, metadata: Metadata, about: dict[str, str], frames: Frames) -> Iterator[Contender]:
    for runtime in (*(["events"] if holds_network(model) else []), "onnxruntime"):
        encoder = load_encoder(model, runtime, threads=1)
        cuda = isinstance(encoder, OnnxEncoder) and "CUDAExecutionProvider" in encoder.providers
        for batch in BATCHES:
            subject = Subject(
                **about, kind=SPIKING_KIND, form=metadata.numbers, runtime=runtime, batch=batch,
                device="cuda" if cuda else "cpu",
            )  # fmt: skip
            yield Contender(subject, encoder.encode, frames)


def _conventional(
    encoder: Path, metadata: Metadata, about: dict[str, str], frames: Frames, folder: Path
) -> Iterator[Contender]:
    """One recording at a time; their weights are those that they begin with, which time does not depend on."""
    config = metadata.config(str(encoder))
    if config is None:
        raise GraphError(f"{encoder}: does not state the sizes of its encoder: export it again")
    with told_of_extras(), working(f"writing the twins of {encoder.name}"):
        from deploy.report.hosts.twins import written_twins
        from export.onnx.twin import load_twin

        written = list(written_twins(config, frames, folder))
    floats = frames.astype(np.float32)
    for network, form, path in written:
        subject = Subject(
            **about, kind=network.kind, form=form, macs=network.macs, weights=network.weights, runtime="onnxruntime",
            batch=1, device="cpu",
        )  # fmt: skip
        yield Contender(subject, load_twin(path, threads=1), floats)
