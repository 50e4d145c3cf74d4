"""Compare backends spike by spike: ``python -m export.verify CKPT --backends torch,onnxruntime,nir,lava``.

The reference is the integer network on torch.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from deploy.backends.encoders import Trace, load_encoder
from deploy.backends.runtime_backend import onnx_metadata
from export.encoder.evaluate import held_out
from export.encoder.network import Network, load_network
from export.loihi.drift import drift, drift_table
from export.nir.metadata import Dialect, read_encoder
from export.nir.to_nir import export_nir
from export.nir.trace import Difference, first_difference
from export.onnx.to_onnx import export_onnx
from spikinghash.cli import wide_console
from spikinghash.errors import BackendError, ComparisonError, SpikinghashError
from spikinghash.files import private_folder
from spikinghash.progress import track
from spikinghash.resources import CHECKPOINTS, named
from training.checkpoint import Checkpoint, load_checkpoint
from training.data import nmnist
from training.data.frames import Dataset, load_dataset
from training.data.reader import Reader, binned
from training.data.sampling import sample_files, spread_windows
from training.data.splits import Indices, Split, split
from training.window_options import CropOption, Hop, Sensor, Sort, Stream, Window, chosen_reader

FILES: dict[str, str] = {
    "torch": "checkpoint",
    "events": "onnx",
    "onnxruntime": "onnx",
    "onnxreference": "onnx",
    "openvino": "onnx",
    "mnn": "onnx",
    "iree": "onnx",
    "tract": "onnx",
    "ncnn": "ncnn",
    "nir": "native",
    "lava": "native",
    "nest": "native",
    "norse": "portable",
    "snntorch": "portable",
    "spikingjelly": "portable",
    "sc-neurocore": "dense",
}
"""Which file each backend is given."""
DIALECTS: dict[str, tuple[Dialect, bool]] = {
    "native": ("native", False),
    "portable": ("portable", False),
    "dense": ("portable", True),
}
"""Dialect of an exported graph, and whether its convolutions are written out as Affine."""


@dataclass(frozen=True)
class Result:
    """What the comparison of one backend found."""

    backend: str
    codes_equal: bool
    differing_bits: int
    """Of the codes; of a classification head, counts that differ."""
    difference: str | None
    """The first layer, time step and neuron that differ."""
    counts: dict[str, int] = field(default_factory=dict)
    """Spikes of each layer, all recordings together."""

    @property
    def equal(self) -> bool:
        """Codes and every compared spike."""
        return self.codes_equal and self.difference is None


def compare(backend: str, codes: NDArray[Any], spikes: dict[str, NDArray[Any]], traced: Trace) -> Result:
    """Hold what a backend ``traced`` against the reference."""
    difference = first_difference(spikes, traced.spikes) or _first_count(spikes, traced.counts)
    bits = int(
        np.bitwise_count(codes ^ traced.codes).sum() if codes.dtype == np.uint8 else (codes != traced.codes).sum()
    )
    totals = {name: int(value.sum()) for name, value in traced.counts.items()}
    return Result(backend, bits == 0, bits, None if difference is None else str(difference), totals)


def _first_count(spikes: dict[str, NDArray[Any]], counts: dict[str, NDArray[Any]]) -> str | Difference | None:
    """The first layer whose spikes per recording differ, for backends that show no more than that."""
    for layer, expected in spikes.items():
        total = expected.sum(axis=tuple(range(1, expected.ndim)))
        if layer in counts and not np.array_equal(total, counts[layer]):
            sample = int(np.flatnonzero(total != counts[layer])[0])
            return f"layer {layer}, recording {sample}: {counts[layer][sample]:g} spikes instead of {total[sample]:g}"
    return None


def trace_backend(backend: str, encoder: Path, frames: NDArray[np.uint8]) -> Trace:
    """What ``encoder`` does on ``backend`` with frames (B, T, 2, H, W).

    Raises:
        BackendError: it failed.
    """
    try:
        return load_encoder(encoder, backend).trace(frames)
    except SpikinghashError as error:
        raise BackendError(f"{backend}: {error}") from None


def write_encoder(network: Network, kind: str, checkpoint: Path, folder: Path) -> Path:
    """The file of ``kind`` that backends are given, exported (and checked) into ``folder``."""
    if kind == "checkpoint":
        return checkpoint
    is_onnx = kind in ("onnx", "ncnn")
    path = folder / (f"{kind}.onnx" if is_onnx else f"{kind}.nir")
    if not path.exists():
        if is_onnx:
            export_onnx(network, path, runtime="ncnn" if kind == "ncnn" else "any")
        else:
            dialect, dense = DIALECTS[kind]
            export_nir(network, path, dialect, dense)
    return path


def verify(
    network: Network, checkpoint: Path, frames: NDArray[np.uint8], backends: list[str], files: dict[str, Path]
) -> list[Result]:
    """Compare ``backends`` with the network on ``frames`` (B, T, 2, H, W).

    Args:
        files: encoders by kind (``native``, ``onnx``, ...) to use instead of freshly exported ones.
    """
    codes, spikes = network.executor().layers(frames)
    with private_folder() as folder:
        results = []
        for backend in track(backends, "verifying", len(backends)):
            kind = FILES[backend]
            encoder = files.get(kind) or write_encoder(network, kind, checkpoint, folder)
            results.append(compare(backend, codes, spikes, trace_backend(backend, encoder, frames)))
        return results


def choose_frames(dataset: Dataset, samples: int) -> NDArray[np.uint8]:
    """Frames of ``samples`` test queries, spread over the classes; of other recordings when these are used up."""
    return dataset.frames[spread(dataset, split(dataset.labels))[:samples]]


def spread(dataset: Dataset, sets: Split) -> Indices:
    """All rows: test queries in random order, then what is left."""
    order = np.concatenate([np.random.default_rng(0).permutation(sets.test), sets.validation, sets.database])
    return np.concatenate([order, np.setdiff1d(np.arange(len(dataset)), order)])


def probes(checkpoint: Checkpoint, data: Path | None, samples: int, reader: Reader) -> tuple[NDArray[np.uint8], str]:
    """Frames of at most ``samples`` recordings or windows to compare on, and what they are of.

    Those of ``data``: a folder of N-MNIST, or any file or folder of recordings; else of the data set that the network
    was trained on, where it is there; else digits, which serve to compare backends as well.

    Raises:
        RecordingError: ``data`` holds nothing that can be used.
    """
    config = checkpoint.config
    steps, size, crop = config.encoder.time_steps, config.encoder.size, reader.crop
    if data is not None and (nmnist.holds_recordings(data) or not data.exists()):
        there = load_dataset("nmnist", time_steps=steps, size=size, root=data, crop=crop)
        return choose_frames(there, samples), str(data)
    if data is not None:
        files = sample_files(data, samples)
        parts = [binned(reader.read(file), steps, size)[1] for file in files]
        return spread_windows(parts, samples), str(data)
    if config.data.root is not None and config.data.root.is_dir():
        dataset, sets = held_out(checkpoint)
        return dataset.frames[spread(dataset, sets)[:samples]], str(config.data.root)
    return choose_frames(load_dataset("digits", time_steps=steps, size=size, crop=crop), samples), "digits"


def results_table(results: list[Result], answers: str) -> Table:
    """Spikes per layer side by side, and the verdicts on the ``answers`` of the network."""
    table = Table("layer", *(result.backend for result in results))
    for layer in max((result.counts for result in results), key=len):
        table.add_row(layer, *(f"{result.counts[layer]:,}" if layer in result.counts else "" for result in results))
    table.add_section()
    table.add_row(
        answers, *("equal" if result.codes_equal else f"{result.differing_bits} differ" for result in results)
    )
    return table


def parse_backends(text: str) -> list[str]:
    """Names from a comma-separated list.

    Raises:
        SpikinghashError: one is unknown.
    """
    names = text.split(",")
    unknown = [name for name in names if name not in FILES]
    if unknown:
        raise SpikinghashError(f"--backends: no backend {unknown[0]!r}: use {', '.join(FILES)}")
    return names


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint to verify.", metavar="CKPT")],
    backends: Annotated[str, typer.Option(help="Comma-separated.")] = "torch,events,onnxruntime,nir,lava",
    samples: Annotated[int, typer.Option(min=1, max=10**6, help="Recordings to compare on.")] = 8,
    data: Annotated[
        Path | None, typer.Option(help="Folder or file of recordings; default: what it was trained on, or digits.")
    ] = None,
    sensor: Sensor = None,
    window: Window = None,
    hop: Hop = None,
    crop: CropOption = None,
    stream: Stream = None,
    sort: Sort = False,
    encoder: Annotated[
        list[Path] | None, typer.Option(help="Written file to verify instead of a fresh export.")
    ] = None,
    with_drift: Annotated[bool, typer.Option("--drift", help="Also the drift float -> integer -> Loihi.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare codes and layers of all backends; exit code 1 on any difference."""
    names, checkpoint = parse_backends(backends), named(checkpoint, CHECKPOINTS, ".pt")
    loaded = load_checkpoint(checkpoint)
    network = load_network(checkpoint)
    answers = "counts of classes" if network.classes else "bits of codes"
    reader = chosen_reader(loaded.data, sensor, window, hop, stream=stream, sort=sort, crop=crop)
    frames, compared = probes(loaded, data, samples, reader)
    results = verify(network, checkpoint, frames, names, by_kind(encoder or [], names))
    layers = drift(loaded.model(), frames) if with_drift else []
    if as_json:
        certificate = network.certificate.as_dict() if network.certificate else None
        report = {"samples": len(frames), "recordings": compared, "certificate": certificate}
        report["results"] = [asdict(result) for result in results]
        if layers:
            report["drift"] = [asdict(layer) for layer in layers]
        print(json.dumps(report, indent=1))
    else:
        console = wide_console()
        console.print(results_table(results, answers))
        console.print(f"certificate: {network.certificate}")
        console.print(f"compared on {len(frames)} of {compared}")
        if layers:
            console.print(drift_table(layers))
    parted = [result for result in results if not result.equal]
    if parted:
        what = parted[0].difference or f"{parted[0].differing_bits} {answers}"
        raise ComparisonError(f"{parted[0].backend} differs from the network: {what}")


def by_kind(encoders: list[Path], backends: list[str]) -> dict[str, Path]:
    """Written files by their kind.

    Raises:
        SpikinghashError: none of ``backends`` takes one of them, so that it would not be verified.
    """
    files = dict(map(_kind_of, encoders))
    for kind, path in files.items():
        takers = [name for name, taken in FILES.items() if taken == kind]
        if not set(takers) & set(backends):
            raise SpikinghashError(f"--encoder {path}: --backends has none that it is for: add {' or '.join(takers)}")
    return files


def _kind_of(path: Path) -> tuple[str, Path]:
    """Which kind of backend file ``path`` is."""
    if path.suffix == ".onnx":
        return str(onnx_metadata(path).dialect), path
    _, metadata = read_encoder(path)
    return ("dense" if metadata.flat else str(metadata.dialect)), path
