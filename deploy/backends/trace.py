"""Codes and layer activity of frames, as a file: ``python -m deploy.backends.trace ENCODER FRAMES.npy OUT.npz``."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from deploy.backends.encoders import load_encoder
from spikinghash.arrays import map_array
from spikinghash.cli import run
from spikinghash.errors import RecordingError
from spikinghash.files import atomic_path


def main(
    encoder: Annotated[Path, typer.Argument(help="Encoder: .pt, .onnx or .nir.")],
    frames: Annotated[Path, typer.Argument(help=".npy file: binary frames, uint8 (B, T, 2, H, W).")],
    out: Annotated[Path, typer.Argument(help=".npz: codes, counts/LAYER (B,), spikes/LAYER (B, T, C, H, W).")],
    backend: Annotated[str | None, typer.Option(help="As for deploy.run.")] = None,
) -> None:
    """Trace an encoder on frames."""
    loaded = load_encoder(encoder, backend)
    try:
        values = np.array(map_array(frames))
    except (OSError, ValueError) as error:
        raise RecordingError(f"{frames}: not a .npy file: {error}") from None
    wanted = (loaded.time_steps, 2, loaded.size, loaded.size)
    if values.dtype != np.uint8 or values.shape[1:] != wanted:
        raise RecordingError(
            f"{frames}: holds {values.dtype} {values.shape}, the encoder takes uint8 (B, {str(wanted)[1:]}"
        )
    trace = loaded.trace(values)
    arrays: dict[str, Any] = {f"counts/{name}": counts for name, counts in trace.counts.items()}
    arrays |= {f"spikes/{name}": spikes for name, spikes in trace.spikes.items()}
    with atomic_path(out) as temporary:
        np.savez(temporary, codes=trace.codes, **arrays)


if __name__ == "__main__":
    run(main)
