"""One job of the results table: train, test, write what came of it."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.results.plan import QUANTISED_EPOCHS, QUANTISED_RATE, Job
from export.encoder.evaluate import graph_encoder
from export.encoder.network import build_network
from spikinghash.files import atomic_path
from training.baselines.activations import activation_sparsity
from training.baselines.fit import fit, has_amx, load_fitting, save_weights, sign_encoder
from training.baselines.losses import CsqLoss, HashNetLoss, TwinLoss
from training.baselines.quantised import QuantisedReLU, activation_bits, quantise
from training.baselines.resnet import ResNet18
from training.baselines.twin import AnnTwin
from training.checkpoint import load_checkpoint
from training.codes import Encode, encode_all, float_encoder
from training.config import Config
from training.data.configured import load_data
from training.loss import HashLoss
from training.retrieval import evaluate
from training.train import LAST, train

CLASSES = 10
CALIBRATION = 200
"""About so many training recordings choose the clips of quantised activations."""


def run_job(job: Job, out: Path, nmnist: Path | None) -> None:
    """Do ``job`` unless ``out`` holds its result.

    An interrupted Spikinghash goes on from its last epoch; the other networks begin anew.
    """
    torch.set_num_threads(1)
    result = out / f"{job.key}.json"
    if result.exists():
        return
    begin = time.perf_counter()
    work = _spiking if job.network == "spikinghash" else _baseline
    encoder = job.config(nmnist).encoder.model_dump(mode="json")
    record = {
        **asdict(job),
        **work(job, out, nmnist),
        "encoder": encoder,
        "minutes": round((time.perf_counter() - begin) / 60, 1),
    }
    with atomic_path(result) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")


def _spiking(job: Job, out: Path, nmnist: Path | None) -> dict[str, Any]:
    """Train in floating point, then on the grids; the integer network is the exported one."""
    config = job.config(nmnist)
    if job.start is not None:
        config = with_training(config, start=out / job.start.key / LAST)
    folder, grids = out / job.key, out / f"{job.key}-grids"
    train(config, folder, torch.device("cpu"))
    on_grids = {"quantise": True, "epochs": QUANTISED_EPOCHS, "learning_rate": QUANTISED_RATE}
    train(with_training(config, start=folder / LAST, **on_grids), grids, torch.device("cpu"))
    model = load_checkpoint(folder / LAST).model()
    network = build_network(load_checkpoint(grids / LAST).model())
    encoders = {
        "spikinghash_float": float_encoder(model, torch.device("cpu")),
        "spikinghash_integer": graph_encoder(network.executor()),
    }
    return {**_scores(config, encoders), "parameters": _parameters(model)}


def _baseline(job: Job, out: Path, nmnist: Path | None) -> dict[str, Any]:
    config = job.config(nmnist)
    torch.manual_seed(job.seed)
    network = _network(job, config)
    if job.start is not None:
        load_fitting(network, out / f"{job.start.key}.pt")
    dataset, sets = load_data(config)
    if config.train.quantise:
        some = sets.training[:: max(1, len(sets.training) // CALIBRATION)]
        bits = activation_bits(config.encoder.time_steps) if job.network == "qnn" else 8
        quantise(network, bits, torch.from_numpy(dataset.frames[some]))
    bfloat16 = isinstance(network, ResNet18) and has_amx()
    loss = _loss(job, config, out)
    fit(network, loss, dataset, sets, config.train, bfloat16=bfloat16)
    save_weights(network, out / f"{job.key}.pt")
    frames = torch.from_numpy(dataset.frames[sets.test[:100]])
    return {
        **_scores(config, {job.network: sign_encoder(network)}),
        "parameters": _parameters(network),
        "similarity": loss.loss.similarity.learned() if isinstance(loss, TwinLoss) else {},
        "activation_sparsity": activation_sparsity(network, (nn.ReLU, QuantisedReLU), frames),
    }


def _network(job: Job, config: Config) -> nn.Module:
    encoder = config.encoder
    if job.network.startswith("resnet18"):
        return ResNet18(encoder.time_steps, encoder.bits)
    return AnnTwin(encoder, encoder.time_steps if job.network == "ann_twin_t" else 1)


def _loss(job: Job, config: Config, out: Path) -> nn.Module:
    if job.network == "resnet18_csq":
        return CsqLoss(job.bits, CLASSES)
    if job.network == "resnet18_hashnet":
        return HashNetLoss(job.bits)
    settings = config.train
    loss = HashLoss(config.encoder.votes, settings.soft_weight, settings.balance_weight)
    if job.start is not None:
        loss.similarity.take_over(json.loads((out / f"{job.start.key}.json").read_text())["similarity"])
    return TwinLoss(loss)


def with_training(config: Config, **changes: Any) -> Config:
    """``config`` with other settings of its training."""
    return config.model_copy(update={"train": config.train.model_copy(update=changes)})


def _scores(config: Config, encoders: Mapping[str, Encode]) -> dict[str, dict[str, float]]:
    """Tie-aware mAP of each encoder: of the test queries under "map", of the others under "validation"."""
    dataset, sets = load_data(config)
    scores: dict[str, dict[str, float]] = {"map": {}, "validation": {}}
    for kind, encode in encoders.items():
        database = encode_all(encode, dataset, sets.database)
        for name, queries in (("map", sets.test), ("validation", sets.validation)):
            codes = encode_all(encode, dataset, queries)
            figures = evaluate(codes, dataset.labels[queries], database, dataset.labels[sets.database])
            scores[name][kind] = figures.mean_average_precision
    return scores


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
