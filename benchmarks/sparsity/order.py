"""Order within a budget: the ``reversal`` set, whose classes differ in nothing else; see docs/temporal.md."""

from pathlib import Path

import torch

from benchmarks.sparsity.jobs import Record, measured, recorded, write_records
from benchmarks.sparsity.plan import PRUNED, SEEDED
from training.config import Config, SparsityConfig, load_config
from training.train import LAST, train

CONFIGS = Path(__file__).parents[2] / "configs"
EPOCHS, RATE = 36, 3e-3
"""On the grids of the integer network, pruned."""
BUDGET = SEEDED["digits"][0]


def run_order(seed: int, out: Path) -> None:
    """Train for order, then within the budget, unless ``out`` holds the figures; an interrupted training goes on."""
    key = f"reversal-s{seed}"
    if recorded(out, key):
        return
    torch.set_num_threads(1)
    records: list[Record] = []
    for name, config in configs(seed, out).items():
        experiment = train(config, out / name, torch.device("cpu"))
        if config.encoder.head == "hash":
            label = {"name": _NAMES[config.train.quantise], "spiking": True, "dataset": "reversal", "seed": seed}
            records.append({**label, **measured(out / name / LAST, experiment.dataset, experiment.sets)})
    write_records(out, key, records)


_NAMES = {False: "Spikinghash, dense", True: f"Spikinghash, budget {BUDGET / 1e6:g} M"}


def configs(seed: int, out: Path) -> dict[str, Config]:
    """The trainings, in order, by the name of their folder in ``out``."""
    classes, codes, grids = (f"reversal-{part}-s{seed}" for part in ("classes", "codes", "grids"))
    first, second = (load_config(CONFIGS / f"{name}.toml") for name in ("reversal-classes", "reversal"))
    of_codes = second.train.model_copy(update={"seed": seed, "start": out / classes / LAST})
    changes = {"epochs": EPOCHS, "learning_rate": RATE, "quantise": True, "start": out / codes / LAST}
    last = {
        "train": of_codes.model_copy(update=changes),
        "sparsity": SparsityConfig(operations=BUDGET, prune=PRUNED),
    }
    return {
        classes: first.model_copy(update={"train": first.train.model_copy(update={"seed": seed})}),
        codes: second.model_copy(update={"train": of_codes}),
        grids: second.model_copy(update=last),
    }
