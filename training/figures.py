"""Pictures of a training: its course, and similarity matrices: ``python -m training.figures CKPT --out DIR``."""

if __name__ == "__main__":  # before torch is imported, which may be missing
    from spikinghash.cli import run

    run("training.figures")


from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from spikinghash.errors import CheckpointError, ConfigError
from spikinghash.files import atomic_path
from spikinghash.progress import working
from spikinghash.resources import CHECKPOINTS, named
from training.checkpoint import Checkpoint, load_checkpoint
from training.codes import batches
from training.data.configured import load_data
from training.data.splits import Indices
from training.loss import SoftSimilarity

PICTURE = "similarity.png"


def by_class(labels: NDArray[np.int64], indices: Indices, per_class: int) -> Indices:
    """The first ``per_class`` of ``indices`` of each class, class by class."""
    chosen = [indices[labels[indices] == label][:per_class] for label in np.unique(labels)]
    return np.concatenate(chosen)


def soft_similarity(potentials: Tensor, alpha: float, beta: float) -> NDArray[np.float32]:
    """S_soft of mean membrane potentials (N, K): (N, N), 0 to 1."""
    similarity = SoftSimilarity()
    similarity.log_alpha.data.fill_(float(np.log(alpha)))
    similarity.beta.data.fill_(beta)
    with torch.no_grad():
        return np.asarray(similarity(potentials).sigmoid().numpy())


def hash_similarity(bits: Tensor) -> NDArray[np.float64]:
    """S_hash of bits (N, K): one minus the Hamming distance over K, (N, N)."""
    array = bits.numpy().astype(bool)
    return np.asarray(1 - (array[:, None] != array[None]).mean(-1))


def similarity_matrices(checkpoint: Checkpoint, per_class: int) -> dict[str, NDArray[np.floating]]:
    """S_soft and S_hash of test queries, sorted by class.

    Raises:
        CheckpointError: it does not hold the soft similarity that was learned with it.
    """
    if not {"alpha", "beta"} <= checkpoint.metrics.keys():
        raise CheckpointError(
            "the checkpoint lacks the learned soft similarity (alpha, beta): train it with this version"
        )
    dataset, sets = load_data(checkpoint.config)
    model = checkpoint.model()
    chosen = by_class(dataset.labels, sets.test, per_class)
    with torch.no_grad():
        outputs = [model(torch.from_numpy(dataset.frames[batch])) for batch in batches(chosen, 50)]
    potentials = torch.cat([output.potentials.mean(0) for output in outputs])
    bits = torch.cat([output.spikes.sum(0) >= model.config.votes for output in outputs])
    return {
        "S_soft (membrane potentials)": soft_similarity(
            potentials, checkpoint.metrics["alpha"], checkpoint.metrics["beta"]
        ),
        "S_hash (Hamming)": hash_similarity(bits),
    }


def write_curve(path: Path, history: Sequence[dict[str, float]], key: str, name: str) -> None:
    """Loss, and the score that some records of ``history`` have under ``key``, over the epochs, as PNG."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    scored = [record for record in history if key in record]
    for axis, value, records, colour in ((left, "loss", history, "tab:blue"), (right, key, scored, "tab:orange")):
        axis.plot([record["epoch"] for record in records], [record[value] for record in records], ".-", color=colour)
    left.set_xlabel("epoch")
    left.set_ylabel("loss", color="tab:blue")
    right.set_ylabel(name, color="tab:orange")
    right.set_ylim(0, 1)
    _save(figure, path)


def draw(matrices: dict[str, NDArray[np.floating]], path: Path) -> None:
    """All matrices side by side, as PNG."""
    figure = Figure(figsize=(5 * len(matrices), 4.6), layout="constrained")
    axes = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axis, (title, matrix) in zip(axes, matrices.items(), strict=True):
        image = axis.imshow(matrix, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
        axis.set_title(title)
        axis.set_xlabel("test recording, sorted by class")
    axes[0].set_ylabel("test recording, sorted by class")
    figure.colorbar(image, ax=list(axes), label="similarity")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a hash encoder.", metavar="CKPT")],
    out: Annotated[Path, typer.Option(help="Folder for the picture.")] = Path("."),
    per_class: Annotated[int, typer.Option(help="Recordings of each class.", min=1)] = 20,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set, where it is not made here.")] = None,
) -> None:
    """Draw S_soft and S_hash of test recordings side by side."""
    checkpoint = named(checkpoint, CHECKPOINTS, ".pt")
    loaded = load_checkpoint(checkpoint)
    if loaded.config.encoder.head != "hash":
        raise ConfigError(
            f"{checkpoint}: encoder.head is {loaded.config.encoder.head}: only hash codes have these matrices"
        )
    if data is not None:
        config = loaded.config
        moved = config.model_copy(update={"data": config.data.model_copy(update={"root": data})})
        loaded = replace(loaded, config=moved)
    with working("comparing recordings"):
        matrices = similarity_matrices(loaded, per_class)
    draw(matrices, out / PICTURE)
    print(f"wrote {out / PICTURE}")
