"""What is trained for the results table, and how."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from training.config import Config, DataConfig, EncoderConfig, TrainConfig

Network = Literal[
    "spikinghash", "ann_twin_1", "ann_twin_t", "int8_twin", "qnn", "resnet18_hashnet", "resnet18_csq",
]  # fmt: skip
DatasetName = Literal["digits", "nmnist"]
NmnistFolder = Annotated[Path | None, typer.Option(help="Folder that holds NMNIST/Train; without it, digits alone.")]
"""Option of the commands that train on both."""
NETWORKS: tuple[Network, ...] = get_args(Network)
DATASETS: tuple[DatasetName, ...] = get_args(DatasetName)

NAMES: dict[str, str] = {
    "spikinghash_float": "Spikinghash, float",
    "spikinghash_integer": "Spikinghash, integer",
    "ann_twin_1": "ANN twin, 1 frame",
    "ann_twin_t": "ANN twin, T frames",
    "int8_twin": "int8 twin, 1 frame",
    "qnn": "QNN twin, 1 frame, 8-bit weights, 4-bit activations",
    "resnet18_hashnet": "ResNet-18, HashNet",
    "resnet18_csq": "ResNet-18, CSQ",
}
BITS = (32, 16, 64)
SEEDS = (0, 1, 2)

SCHEDULES: dict[Network, tuple[int, float]] = {
    "spikinghash": (40, 8e-3),
    "ann_twin_1": (40, 2e-3),
    "ann_twin_t": (8, 1e-3),
    "int8_twin": (4, 2e-4),
    "qnn": (4, 2e-4),
    "resnet18_hashnet": (8, 2e-3),
    "resnet18_csq": (8, 2e-3),
}
"""Epochs and largest learning rates, on either data set: of 32 bits, and of the quantised twins at any length.
ResNet-18 learns in fewer epochs; the other twins start from that of one frame."""
OTHER_LENGTH_EPOCHS = 5
"""16 and 64 bits start from the network of 32 bits, with a new hash layer."""
OTHER_LENGTH_SPIKING_RATE, OTHER_LENGTH_RATE = 1.5e-3, 2e-4
"""Largest learning rates of these. The other networks unlearn at 1.5e-3: the validation mAP of 16 bits on digits is
then 0.94 (ANN twin) and 0.93 (CSQ), at 2e-4 0.96 and 0.98."""
QUANTISED_EPOCHS, QUANTISED_RATE = 3, 5e-4
"""Of Spikinghash, on the grids of its deployment."""
QUANTISED_TWINS: tuple[Network, ...] = ("int8_twin", "qnn")
"""They start from the ANN twin of one frame that has learned the same, and see its training set."""
AUGMENTATION = {"max_shift": 2, "rotate": 10.0, "zoom": 0.1, "elastic": 0.8}


def data_config(dataset: DatasetName, nmnist: Path | None) -> DataConfig:
    """What is trained on; N-MNIST's 1,000 recordings beside the simulated ones, from the folder ``nmnist``."""
    return DataConfig(name="nmnist", root=nmnist, also=("digits",)) if dataset == "nmnist" else DataConfig()


@dataclass(frozen=True)
class Job:
    """One network to train and test."""

    network: Network
    dataset: DatasetName
    bits: int
    seed: int

    @property
    def key(self) -> str:
        """Name of its files."""
        return f"{self.dataset}-{self.network}-{self.bits}-s{self.seed}"

    @property
    def start(self) -> "Job | None":
        """The job whose network it starts from."""
        first = self.bits == BITS[0]
        if self.network in QUANTISED_TWINS or (first and self.network == "ann_twin_t"):
            return replace(self, network="ann_twin_1")
        return None if first else replace(self, bits=BITS[0])

    @property
    def chain(self) -> "list[Job]":
        """The job, and before it all that must be done first, in order."""
        return [self] if self.start is None else [*self.start.chain, self]

    @property
    def schedule(self) -> tuple[int, float]:
        """Epochs and the largest learning rate."""
        if self.bits == BITS[0] or self.network in QUANTISED_TWINS:
            return SCHEDULES[self.network]
        return OTHER_LENGTH_EPOCHS, OTHER_LENGTH_SPIKING_RATE if self.network == "spikinghash" else OTHER_LENGTH_RATE

    def config(self, nmnist: Path | None) -> Config:
        """Sizes and training."""
        epochs, rate = self.schedule
        train = TrainConfig(
            seed=self.seed,
            epochs=epochs,
            learning_rate=rate,
            quantise=self.network in QUANTISED_TWINS,
            **AUGMENTATION,
        )
        return Config(data=data_config(self.dataset, nmnist), encoder=EncoderConfig(bits=self.bits), train=train)


def stages(networks: Sequence[Network], datasets: Sequence[DatasetName], seeds: Sequence[int]) -> list[list[Job]]:
    """All jobs and those that they start from, seed by seed; those of a stage need only jobs of earlier ones."""
    return [stage for seed in seeds for stage in _stages(networks, datasets, seed)]


def _stages(networks: Sequence[Network], datasets: Sequence[DatasetName], seed: int) -> list[list[Job]]:
    wanted = [Job(network, dataset, bits, seed) for network in networks for bits in BITS for dataset in datasets]
    depths = {job: len(job.chain) for last in wanted for job in last.chain}
    return [[job for job in depths if depths[job] == depth] for depth in sorted(set(depths.values()))]
