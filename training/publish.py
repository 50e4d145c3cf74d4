"""Strip a trained checkpoint to what deployment needs: ``python -m training.publish LAST.pt OUT.pt``."""

if __name__ == "__main__":  # before torch is imported, which may be missing
    from spikinghash.cli import run

    run("training.publish")


from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from spikinghash.errors import CheckpointError
from training.checkpoint import load_checkpoint, save_checkpoint
from training.train import score_names


def main(
    trained: Annotated[Path, typer.Argument(help="Checkpoint of a training.")],
    published: Annotated[Path, typer.Argument(help="File to write.")],
) -> None:
    """Copy a checkpoint without the state that only a resumed training needs, and without paths of this machine."""
    checkpoint = load_checkpoint(trained)
    config = checkpoint.config
    if checkpoint.epoch < config.train.epochs:
        done = f"{checkpoint.epoch} of {config.train.epochs} epochs"
        raise CheckpointError(f"{trained}: the training has done {done}: let it end (training.train goes on with it)")
    key, name = score_names(config)
    if key not in checkpoint.metrics:
        raise CheckpointError(f"{trained}: the training has measured no {name}: it was not written by this project")
    test = config.data.test
    pattern = None if test is None or Path(test).is_absolute() else test
    portable = config.model_copy(
        update={
            "data": config.data.model_copy(update={"root": None, "test": pattern}),
            "train": config.train.model_copy(update={"start": None}),
            "sparsity": config.sparsity.model_copy(update={"teacher": None}),
        }
    )
    save_checkpoint(published, replace(checkpoint, config=portable, resume=None))
    print(f"wrote {published}: {published.stat().st_size / 1e6:.1f} MB, {name} {checkpoint.metrics[key]:.4f}")
