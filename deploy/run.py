"""Hash codes of recordings, on any backend: ``python -m deploy.run ENCODER RECORDING... [--backend B]``.

With ``--input`` any NIR graph runs on arrays of spikes instead.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from deploy.backends.encoders import BACKENDS, Encoder, graph_runner, load_encoder
from export.metadata import Numbers
from spikinghash.cli import run
from spikinghash.errors import GraphError, SpikinghashError
from spikinghash.files import atomic_path
from training.data.frames import events_to_frames
from training.data.recordings import NMNIST_SENSOR, read_recording

BATCH = 64
"""Recordings encoded at once; bounds the memory."""


def read_frames(paths: list[Path], encoder: Encoder) -> NDArray[np.uint8]:
    """Frames (B, T, 2, H, W) of recordings.

    Raises:
        RecordingError: a recording cannot be used.
    """
    frames = [
        events_to_frames(read_recording(path), NMNIST_SENSOR, encoder.time_steps, encoder.size, str(path))
        for path in paths
    ]
    return np.stack(frames)


def encode_recordings(encoder: Encoder, paths: list[Path]) -> NDArray[np.uint8]:
    """Packed codes (B, K/8) of recordings."""
    parts = [
        encoder.encode(read_frames(paths[start : start + BATCH], encoder)) for start in range(0, len(paths), BATCH)
    ]
    return np.concatenate(parts)


def run_graph(graph: Path, source: Path, backend: str) -> NDArray[np.float32]:
    """Outputs (samples, steps, ...) of any NIR graph for the array ``spikes`` in the .npz file ``source``.

    Raises:
        GraphError: the array is missing or has the wrong shape, or the graph cannot be run.
    """
    if backend not in BACKENDS[".nir"]:
        raise SpikinghashError(f"--backend {backend}: does not run NIR graphs: use {' or '.join(BACKENDS['.nir'])}")
    try:
        with np.load(source, allow_pickle=False) as file:
            spikes = np.asarray(file["spikes"], np.float32)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise GraphError(f"{source}: no .npz file with an array 'spikes' (samples, steps, ...): {error}") from None
    if spikes.ndim < 3:
        raise GraphError(f"{source}: spikes has shape {spikes.shape}, at least (samples, steps, neurons) is needed")
    return graph_runner(backend).run(graph, spikes)[0]


def main(
    encoder: Annotated[
        Path, typer.Argument(help="Encoder: .pt, .onnx or .nir; any .nir with --input.", metavar="ENCODER")
    ],
    recordings: Annotated[list[Path] | None, typer.Argument(help="N-MNIST .bin files.", metavar="RECORDING...")] = None,
    backend: Annotated[str | None, typer.Option(help="torch, onnxruntime, nir, lava, or a foreign simulator.")] = None,
    numbers: Annotated[
        Numbers, typer.Option(help="Of a checkpoint: the integer network, or the float one.")
    ] = "integer",
    source: Annotated[
        Path | None, typer.Option("--input", help=".npz with spikes (samples, T, ...) for any NIR graph.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help=".npz for the outputs, with --input.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Encode recordings, or run a NIR graph on spikes."""
    if (source is None) == (not recordings):
        raise SpikinghashError("give either recordings or --input X.npz")
    if source is not None:
        outputs = run_graph(encoder, source, backend or "nir")
        _print_outputs(outputs, output, as_json)
        return
    if output is not None:
        raise SpikinghashError("--output is for --input; codes go to standard output")
    assert recordings
    loaded = load_encoder(encoder, backend, numbers)
    codes = encode_recordings(loaded, recordings)
    rows = [
        {"file": str(path), "code": code.tobytes().hex(), "bits": loaded.bits}
        for path, code in zip(recordings, codes, strict=True)
    ]
    print(json.dumps(rows, indent=1) if as_json else "\n".join(f"{row['code']}  {row['file']}" for row in rows))


def _print_outputs(outputs: NDArray[np.float32], output: Path | None, as_json: bool) -> None:
    if output is not None:
        with atomic_path(output) as temporary:
            np.savez_compressed(temporary, outputs=outputs)
    result: dict[str, Any] = {"outputs": outputs.tolist()}
    if as_json:
        print(json.dumps(result))
    else:
        print(
            f"outputs {outputs.shape}, {int(np.count_nonzero(outputs))} spikes"
            + (f"; wrote {output}" if output else "")
        )


if __name__ == "__main__":
    run(main)
