"""What is trained: encoders per budget and seed, with fewer bits a weight, and QNN twins pruned as much."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.results.plan import AUGMENTATION, SEEDS, DatasetName, Network
from benchmarks.results.plan import Job as TwinJob
from training.checkpoint import load_checkpoint
from training.config import Config, SparsityConfig, TrainConfig

BUDGETS: dict[DatasetName, tuple[float, ...]] = {
    "digits": (3.4e6, 1.8e6, 1.2e6, 0.85e6, 0.5e6),
    "nmnist": (2.0e6, 1.35e6, 0.95e6, 0.6e6, 0.35e6),
}
"""Natural synaptic operations of a recording."""
SEEDED: dict[DatasetName, tuple[float, ...]] = {"digits": (1.8e6, 0.5e6), "nmnist": (2.0e6, 0.6e6)}
"""Budgets of which all seeds are trained; the others draw the curve with one seed, in half of the epochs."""
TIME_STEPS, LEVELS = 4, (1, 1, 0, 0)
"""Half of the committed encoder's time steps, and one level less in stage 1: digits need no order within a saccade."""
FIRST_SHARE = 1.75
"""Budget of the first training in units of the last one's, which prunes half of the synapses: a network that spent
2.5 M on digits spent 1.35 M when that was done."""
FEWER_BITS: tuple[Literal[4, 2], ...] = (4, 2)
"""Bits per weight that are tried within the first of these budgets, in half of the epochs; 2: ternary."""
PRUNED = 0.5
EPOCHS, RATE = 56, 4e-3
GRID_EPOCHS, GRID_RATE = 16, 1e-3
TWIN_EPOCHS: dict[Network, int] = {"ann_twin_1": 112, "int8_twin": 16, "qnn": 16}
"""A twin sees as many epochs as a sparse encoder in all: 40 dense ones, 56 and 16."""
RECIPE = {
    "twin": TWIN_EPOCHS["ann_twin_1"], "twin_grid": TWIN_EPOCHS["qnn"],
    "epochs": EPOCHS, "steps": TIME_STEPS, "first": FIRST_SHARE, "grid_epochs": GRID_EPOCHS, "pruned": PRUNED,
}  # fmt: skip
"""For the page."""


@dataclass(frozen=True)
class Job:
    """One encoder: a budget, a data set, a seed."""

    dataset: DatasetName
    budget: float
    seed: int
    weight_bits: Literal[8, 4, 2] = 8
    half: bool = False
    """Trained in half of the epochs."""

    @property
    def key(self) -> str:
        """Name of its files."""
        bits = "" if self.weight_bits == 8 else f"-{self.weight_bits}bit"
        half = "-half" if self.half else ""
        return f"{self.dataset}-{self.budget / 1e6:g}M{bits}{half}-s{self.seed}"

    @property
    def name(self) -> str:
        """Of its row."""
        bits = {8: "", 4: ", 4-bit weights", 2: ", ternary weights"}[self.weight_bits]
        return f"Spikinghash, budget {self.budget / 1e6:g} M{bits}{', half the epochs' if self.half else ''}"

    @property
    def epochs(self) -> tuple[int, int]:
        """Of the training in floating point, and of that on the grids."""
        return (EPOCHS // 2, GRID_EPOCHS // 2) if self.half else (EPOCHS, GRID_EPOCHS)

    def configs(self, dense: Path, folder: Path, nmnist: Path | None) -> tuple[Config, Config]:
        """Two trainings: of a float network that starts from ``dense``, then of that in ``folder`` on its grids."""
        start = load_checkpoint(dense).config
        data = start.data.model_copy(update={"root": nmnist if self.dataset == "nmnist" else None})
        encoder = start.encoder.model_copy(update={"time_steps": TIME_STEPS, "levels": LEVELS})
        train = TrainConfig(seed=self.seed, epochs=self.epochs[0], learning_rate=RATE, start=dense, **AUGMENTATION)
        sparsity = SparsityConfig(operations=FIRST_SHARE * self.budget, teacher=dense)
        first = Config(data=data, encoder=encoder, train=train, sparsity=sparsity)
        changes = {"epochs": self.epochs[1], "learning_rate": GRID_RATE, "quantise": True, "start": folder / "last.pt"}
        second = first.model_copy(
            update={
                "train": train.model_copy(update=changes),
                "sparsity": sparsity.model_copy(
                    update={"operations": self.budget, "prune": PRUNED, "weight_bits": self.weight_bits}
                ),
            }
        )
        return first, second


@dataclass(frozen=True)
class SparseTwin(TwinJob):
    """A twin of the sparse encoders, which have fewer levels and time steps than those of the results."""

    @property
    def key(self) -> str:
        """Name of its files."""
        return f"sparse-{super().key}"

    @property
    def schedule(self) -> tuple[int, float]:
        """Epochs and the largest learning rate."""
        return TWIN_EPOCHS[self.network], super().schedule[1]

    def config(self, nmnist: Path | None) -> Config:
        """Sizes and training."""
        config = super().config(nmnist)
        sizes = {"time_steps": TIME_STEPS, "levels": LEVELS}
        return config.model_copy(update={"encoder": config.encoder.model_copy(update=sizes)})


def planned(datasets: Sequence[DatasetName], seeds: Sequence[float] = SEEDS) -> list[Job]:
    """All jobs: first those of the budgets that matter, seed by seed, then the curve, then fewer bits a weight."""
    chosen = [int(seed) for seed in seeds]
    first = [Job(each, budget, seed) for seed in chosen for each in datasets for budget in SEEDED[each]]
    curve = [Job(each, budget, chosen[0], half=True) for each in datasets for budget in BUDGETS[each]]
    again = [Job(each, SEEDED[each][0], seed, half=True) for each in datasets for seed in chosen[1:]]
    fewer_bits = [Job(each, SEEDED[each][0], chosen[0], bits, half=True) for each in datasets for bits in FEWER_BITS]
    return first + curve + again + fewer_bits
