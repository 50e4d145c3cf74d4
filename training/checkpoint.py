"""Checkpoints: the trained float network and, while training goes on, what is needed to resume it."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spikinghash.errors import CheckpointError
from spikinghash.files import atomic_path
from training.config import Config, parse_config
from training.model.encoder import Spikinghash
from training.quantised import Grids, put_on_grids

FORMAT = 1
"""Version of the file; a reader refuses any other."""


@dataclass(frozen=True)
class Checkpoint:
    """A network and how it came to be."""

    config: Config
    weights: dict[str, torch.Tensor]
    epoch: int
    """Finished epochs."""
    metrics: dict[str, float]
    resume: dict[str, Any] | None = None
    """State of optimiser, schedule, loss and random generators; ``None`` in a published checkpoint."""
    grids: Grids | None = None
    """Steps of the grids of a network trained with ``quantise``."""

    def model(self) -> Spikinghash:
        """The float network, in evaluation mode."""
        network = Spikinghash(self.config.encoder)
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"weights do not fit the checkpoint's own config: {str(error).splitlines()[-1].strip()}"
            ) from None
        if self.grids is not None:
            put_on_grids(network, self.grids)
        return network.eval()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` to ``path``, whole or not at all."""
    content = {
        "format": FORMAT,
        "config": checkpoint.config.model_dump(mode="json"),
        "weights": {name: value.detach().cpu().clone() for name, value in checkpoint.weights.items()},
        "epoch": checkpoint.epoch,
        "metrics": checkpoint.metrics,
        "resume": checkpoint.resume,
        "grids": checkpoint.grids,
    }
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Nothing in the file is executed.

    Raises:
        CheckpointError: the file is missing, not a checkpoint, or of another version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: not a checkpoint, or truncated ({type(error).__name__})") from None
    if not isinstance(content, dict) or "format" not in content:
        raise CheckpointError(f"{path}: not a checkpoint of this project: it names no format version")
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {content['format']}, this version reads {FORMAT}: train it anew"
        )
    try:
        config = parse_config(content["config"], str(path))
        weights, epoch, metrics = content["weights"], content["epoch"], content["metrics"]
        return Checkpoint(config, weights, epoch, metrics, content["resume"], content.get("grids"))
    except KeyError as error:
        raise CheckpointError(f"{path}: the checkpoint lacks {error}: it was not written by this project") from None
