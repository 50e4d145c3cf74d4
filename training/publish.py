"""Strip a trained checkpoint to what deployment needs: ``python -m training.publish BEST.pt OUT.pt``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from spikinghash.cli import run
from training.checkpoint import load_checkpoint, save_checkpoint


def main(
    trained: Annotated[Path, typer.Argument(help="Checkpoint of a training.")],
    published: Annotated[Path, typer.Argument(help="File to write.")],
) -> None:
    """Copy a checkpoint without the state that only a resumed training needs."""
    checkpoint = load_checkpoint(trained)
    save_checkpoint(published, replace(checkpoint, resume=None))
    score = checkpoint.metrics["validation_map"]
    print(f"wrote {published}: {published.stat().st_size / 1e6:.1f} MB, validation mAP {score:.4f}")


if __name__ == "__main__":
    run(main)
