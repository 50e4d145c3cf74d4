"""Train one encoder within a budget, and measure what came of it."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.results.plan import DatasetName
from benchmarks.sparsity.energy import spiking_energies
from benchmarks.sparsity.plan import Job
from export.encoder.evaluate import graph_encoder
from export.encoder.network import build_network
from export.encoder.node import Linear
from spikinghash.files import atomic_path
from training.checkpoint import load_checkpoint
from training.codes import Encode, retrieval_figures
from training.data.configured import load_data
from training.data.frames import Dataset
from training.data.splits import Split
from training.model.encoder import Spikinghash
from training.sparsity.economy import mean_operations
from training.train import LAST, train

Record = dict[str, Any]
TRACED = 40
"""Test recordings whose spikes are counted in the deployed graphs, for energies."""


def run_job(job: Job, dense: Path, out: Path, nmnist: Path | None) -> None:
    """Do ``job`` unless ``out`` holds its result; an interrupted one goes on from its last epoch."""
    if recorded(out, job.key):
        return
    torch.set_num_threads(1)
    folder, grids = out / job.key, out / f"{job.key}-grids"
    begin = time.process_time()
    for config, where in zip(job.configs(dense, folder, nmnist), (folder, grids), strict=True):
        experiment = train(config, where, torch.device("cpu"))
    label = {"name": job.name, "spiking": True, **asdict(job)}
    figures = measured(grids / LAST, experiment.dataset, experiment.sets)
    minutes = {"cpu_minutes": round((time.process_time() - begin) / 60, 1)}
    write_records(out, job.key, [{**label, **figures, **minutes}])


def run_dense(dataset: DatasetName, dense: Path, out: Path, nmnist: Path | None) -> None:
    """Measure the dense checkpoint, unless ``out`` holds its figures."""
    key = f"{dataset}-dense"
    if recorded(out, key):
        return
    torch.set_num_threads(1)
    seed = load_checkpoint(dense).config.train.seed
    label = {"name": "Spikinghash, dense", "spiking": True, "dataset": dataset, "seed": seed}
    write_records(out, key, [{**label, **measured(dense, *data_of(dense, dataset, nmnist))}])


def data_of(path: Path, dataset: DatasetName, nmnist: Path | None) -> tuple[Dataset, Split]:
    """What the checkpoint ``path`` was trained on, wherever its folder is now."""
    config = load_checkpoint(path).config
    data = config.data.model_copy(update={"root": nmnist if dataset == "nmnist" else None})
    return load_data(config.model_copy(update={"data": data}))


def recorded(out: Path, key: str) -> bool:
    """Whether ``out`` holds what came of a job."""
    return (out / f"{key}.record.json").exists()


def write_records(out: Path, key: str, records: list[Record]) -> None:
    """Keep what came of a job."""
    with atomic_path(out / f"{key}.record.json") as temporary:
        temporary.write_text(json.dumps(records, indent=1) + "\n")


def measured(path: Path, dataset: Dataset, sets: Split) -> Record:
    """Of the integer network of checkpoint ``path``: mAP, operations and energies of test queries, weights, bits."""
    model = load_checkpoint(path).model()
    network = build_network(model)
    encode = graph_encoder(network.executor())
    assert network.certificate is not None
    energies, fewest = spiking_energies(network, dataset.frames[sets.test[:TRACED]])
    return {
        "kind": "spikinghash_integer",
        "encoder": network.config.model_dump(mode="json"),
        **scores(encode, dataset, sets),
        "natural": mean_operations(model, dataset, sets.test, "natural"),
        "lowered": mean_operations(model, dataset, sets.test, "lowered"),
        "fewest": fewest,
        "energy": energies,
        "weights": stored_weights(model),
        "certificate_bits": network.certificate.bits,
    }


def scores(encode: Encode, dataset: Dataset, sets: Split) -> dict[str, float]:
    """Tie-aware mAP of test and validation queries."""
    return {
        name: retrieval_figures(encode, dataset, queries, sets.database).mean_average_precision
        for name, queries in (("map", sets.test), ("validation", sets.validation))
    }


def stored_weights(model: Spikinghash) -> int:
    """Non-zero weights that the integer network stores, each kernel once."""
    nodes = build_network(model).graph.nodes.values()
    return sum(int((node.weight != 0).sum()) for node in nodes if isinstance(node, Linear))
