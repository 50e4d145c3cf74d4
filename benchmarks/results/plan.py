"""What is trained for the results table, and how."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.config import Config, DataConfig, EncoderConfig, TrainConfig

Network = Literal["spikinghash", "ann_twin_1", "ann_twin_t", "int8_twin", "qnn", "resnet18_hashnet", "resnet18_csq"]
DatasetName = Literal["digits", "nmnist"]

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

EPOCHS: dict[str, int] = {
    "spikinghash": 20,
    "ann_twin_1": 12,
    "ann_twin_t": 6,
    "int8_twin": 12,
    "qnn": 12,
    "resnet18_hashnet": 6,
    "resnet18_csq": 6,
}
"""Of the first training: 32 bits on digits. Networks without spikes need fewer."""
OTHER_LENGTH_EPOCHS = 4
"""16 and 64 bits start from the network of 32 bits, with a new hash layer."""
NMNIST_EPOCHS: dict[str, int] = {
    "spikinghash": 14,
    "ann_twin_1": 14,
    "ann_twin_t": 4,
    "int8_twin": 14,
    "qnn": 14,
    "resnet18_hashnet": 4,
    "resnet18_csq": 4,
}
"""On N-MNIST a network starts from that of the same length and seed on digits, and sees both data sets."""
QUANTISED_EPOCHS = {"digits": 2, "nmnist": 1}
AUGMENTATION: dict[str, dict[str, float]] = {
    "digits": {"max_shift": 2},
    "nmnist": {"max_shift": 2, "rotate": 10.0, "zoom": 0.1},
}


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
        if self.dataset == "nmnist":
            return Job(self.network, "digits", self.bits, self.seed)
        return None if self.bits == BITS[0] else Job(self.network, "digits", BITS[0], self.seed)

    def config(self, nmnist: Path | None) -> Config:
        """Sizes and training."""
        first = self.start is None
        other = NMNIST_EPOCHS[self.network] if self.dataset == "nmnist" else OTHER_LENGTH_EPOCHS
        epochs, rate = (EPOCHS[self.network], 2e-3) if first else (other, 1.5e-3)
        train = TrainConfig(
            seed=self.seed,
            epochs=epochs,
            learning_rate=rate,
            **AUGMENTATION[self.dataset],  # type: ignore[arg-type]
        )
        data = DataConfig(name="nmnist", root=nmnist, also=("digits",)) if self.dataset == "nmnist" else DataConfig()
        return Config(data=data, encoder=EncoderConfig(bits=self.bits), train=train)


LENGTHS: list[list[tuple[DatasetName, int]]] = [
    [("digits", 32)],
    [("nmnist", 32), ("digits", 16), ("digits", 64)],
    [("nmnist", 16), ("nmnist", 64)],
]


def stages(networks: Sequence[str], datasets: Sequence[str], seeds: Sequence[int]) -> list[list[Job]]:
    """All jobs, seed by seed; those of a stage need only jobs of earlier ones."""
    return [
        [
            Job(network, dataset, bits, seed)  # type: ignore[arg-type]
            for network in networks
            for dataset, bits in lengths
            if dataset in datasets
        ]
        for seed in seeds
        for lengths in LENGTHS
    ]
