"""Checkpoints: the trained float network and, while training goes on, what is needed to resume it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spikinghash.errors import CheckpointError
from spikinghash.validation import first_fault
from training.archive import content_digest, load_archive, save_archive
from training.config import LARGEST_EPOCH, Config, parse_config
from training.data.facts import DataFacts
from training.model.encoder import Spikinghash
from training.quantised import Grids, put_on_grids

FORMAT = 1
"""Version of the file; a reader refuses any other."""
DTYPES = (torch.float32, torch.int64)
"""Of weights, and of what batch normalisations count."""


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
    classes: tuple[str, ...] = ()
    """Of a classification head, the names of its outputs: those of ``data``, which older files lack; else none."""
    data: DataFacts | None = None
    """What it was trained on; checkpoints of former versions do not say."""

    def model(self) -> Spikinghash:
        """The float network, in evaluation mode.

        Raises:
            CheckpointError: the weights are of another network than the config.
        """
        claimed, held = self.config.encoder.weights, sum(value.numel() for value in self.weights.values())
        if claimed > held:
            raise CheckpointError(
                f"the checkpoint's config describes {claimed:,} weights, the file holds {held:,}: train it anew"
            )
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


class _Content(BaseModel):
    """What the file holds; ``digest`` is that of all else."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)
    format: Literal[1]
    config: dict[str, Any]
    weights: dict[str, torch.Tensor]
    epoch: Annotated[int, Field(ge=0, le=LARGEST_EPOCH)]
    metrics: dict[str, float]
    resume: dict[str, Any] | None
    grids: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = None
    classes: list[str] = []
    data: DataFacts | None = None
    digest: str | None = None


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` to ``path``, whole or not at all, with the digest of its content."""
    content = {
        "format": FORMAT,
        "config": checkpoint.config.model_dump(mode="json"),
        "weights": {name: value.detach().cpu().clone() for name, value in checkpoint.weights.items()},
        "epoch": checkpoint.epoch,
        "metrics": checkpoint.metrics,
        "resume": checkpoint.resume,
        "grids": checkpoint.grids,
        "classes": list(checkpoint.classes),
        "data": None if checkpoint.data is None else checkpoint.data.model_dump(mode="json"),
    }
    save_archive(path, content | {"digest": content_digest(content)})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Nothing in the file is executed. Those of former versions have no digest.

    Raises:
        CheckpointError: the file is missing, damaged, changed since, no checkpoint, or of another version.
    """
    content = load_archive(path)
    if not isinstance(content, dict) or "format" not in content:
        raise CheckpointError(f"{path}: not a checkpoint of this project: it names no format version")
    version = content["format"]
    if not isinstance(version, int) or version != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {str(version)[:40]}, this version reads {FORMAT}: train it anew"
        )
    try:
        read = _Content.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"{path}: {first_fault(error)}: it was not written by this project") from None
    rest = {key: value for key, value in content.items() if key != "digest"}
    if read.digest is not None and read.digest != content_digest(rest):
        raise CheckpointError(f"{path}: not what was written: its digest differs: copy it anew, or train it anew")
    for name, value in read.weights.items():
        if value.dtype not in DTYPES:
            raise CheckpointError(f"{path}: weights {name} are {value.dtype}: it was not written by this project")
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{path}: weights {name} are not finite: train anew with a lower learning_rate")
        if name.endswith("running_var") and (value < 0).any():
            raise CheckpointError(f"{path}: weights {name}: a variance of {float(value.min()):g}: train anew")
    config = parse_config(read.config, str(path))
    classes = tuple(read.classes)
    return Checkpoint(config, read.weights, read.epoch, read.metrics, read.resume, read.grids, classes, read.data)
