"""The networks to hold against: QNN and int8 twins, and a QNN of which as large a share of the weights is pruned."""

from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.results.jobs import CALIBRATION
from benchmarks.results.jobs import run_job as train_twin
from benchmarks.results.plan import DatasetName, Network
from benchmarks.sparsity.energy import dense_qnn, pruned_qnn, twin_energies, zeros_skipped
from benchmarks.sparsity.jobs import Record, recorded, scores, write_records
from benchmarks.sparsity.plan import PRUNED, SparseTwin
from deploy.energy.networks.module import ACTIVATIONS
from training.baselines.activations import activation_sparsity
from training.baselines.fit import fit, load_fitting, save_weights, sign_encoder
from training.baselines.losses import TwinLoss
from training.baselines.quantised import activation_bits, quantise
from training.baselines.twin import AnnTwin, SpatialMixer
from training.config import Config, EncoderConfig
from training.data.configured import load_data
from training.data.frames import Dataset
from training.data.splits import Split
from training.loss import HashLoss
from training.model.wave_mixer import WaveMixer
from training.sparsity.operations import by_member, conv_fan_out, mixer_fan_out
from training.sparsity.pruning import Pruning

BITS = 32
TWINS: tuple[tuple[Network, str, bool], ...] = (
    ("int8_twin", "int8 twin, zeros skipped", True),
    ("qnn", "QNN twin", False),
)
"""Name in the plan of the results, name here, and whether products with zeros are left out."""


def run_twins(dataset: DatasetName, seed: int, out: Path, nmnist: Path | None) -> None:
    """Train and measure them, unless ``out`` holds their figures."""
    key = f"{dataset}-twins-s{seed}"
    if not recorded(out, key):
        torch.set_num_threads(1)
        write_records(out, key, twin_records(dataset, seed, out, nmnist))


def twin_records(dataset: DatasetName, seed: int, out: Path, nmnist: Path | None) -> list[Record]:
    """Train the twins and count what they compute: the int8 one without the products of zeros, the QNN with all."""
    records = []
    for network, name, skip_zeros in TWINS:
        job = SparseTwin(network, dataset, BITS, seed)
        for each in job.chain:
            train_twin(each, out, nmnist)
        config = job.config(nmnist)
        data, sets = load_data(config)
        bits = activation_bits(config.encoder.time_steps) if network == "qnn" else 8
        twin = on_grids(config, data, sets, bits)
        load_fitting(twin, out / f"{job.key}.pt")
        record = record_of(twin, config, name, job, data, sets, skip_zeros=skip_zeros)
        if skip_zeros:
            shares = activation_sparsity(twin.eval(), ACTIVATIONS, torch.from_numpy(data.frames[sets.test[:100]]))
            record["activation_sparsity"] = shares
        priced = zeros_skipped(config.encoder, shares) if skip_zeros else dense_qnn(config.encoder)
        records.append(record | {"kind": network, "energy": twin_energies(priced)})
    return [*records, pruned_record(dataset, seed, out, nmnist)]


def pruned_record(dataset: DatasetName, seed: int, out: Path, nmnist: Path | None) -> Record:
    """A QNN twin that is pruned while it is quantised, from the ANN twin that the others start from, too."""
    job = SparseTwin("qnn", dataset, BITS, seed)
    config = job.config(nmnist)
    data, sets = load_data(config)
    torch.manual_seed(seed)
    twin = AnnTwin(config.encoder, 1)
    assert job.start is not None
    load_fitting(twin, out / f"{job.start.key}.pt")
    quantise(twin, activation_bits(config.encoder.time_steps), calibration(data, sets))
    settings = config.train
    loss = HashLoss(config.encoder.votes, settings.soft_weight, settings.balance_weight)
    steps = settings.epochs * (len(sets.training) // settings.batch_size)
    fit(twin, TwinLoss(loss), data, sets, settings, pruning=Pruning(twin, PRUNED, 0.0, steps))
    save_weights(twin, out / f"{job.key}-pruned.pt")
    record = record_of(twin, config, "QNN twin, pruned", job, data, sets, skip_zeros=False)
    return record | {"kind": "qnn_pruned", "energy": twin_energies(pruned_qnn(config.encoder, twin))}


def on_grids(config: Config, dataset: Dataset, sets: Split, bits: int) -> AnnTwin:
    """An untrained twin with the parameters of a quantised one."""
    twin = AnnTwin(config.encoder, 1)
    quantise(twin, bits, calibration(dataset, sets))
    return twin


def calibration(dataset: Dataset, sets: Split) -> Tensor:
    """Training recordings that choose the clips of activations."""
    return torch.from_numpy(dataset.frames[sets.training[:: max(1, len(sets.training) // CALIBRATION)]])


def record_of(
    twin: AnnTwin, config: Config, name: str, job: SparseTwin, dataset: Dataset, sets: Split, *, skip_zeros: bool
) -> Record:
    """What a row of the page needs."""
    return {
        "dataset": job.dataset, "seed": job.seed, "name": name, "spiking": False,
        "encoder": config.encoder.model_dump(mode="json"),
        **scores(sign_encoder(twin), dataset, sets),
        "natural": multiplications(twin, torch.from_numpy(dataset.frames[sets.test[:100]]), skip_zeros=skip_zeros)
        + attention_products(config.encoder),
        "weights": nonzero_weights(twin),
    }  # fmt: skip


@torch.no_grad()
def multiplications(twin: AnnTwin, frames: Tensor, *, skip_zeros: bool) -> float:
    """Multiply-accumulates of a recording with weights that are not zero: all, or those of activations above zero.

    The products of an attention are not among them.
    """
    totals = []

    def enter(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (activations,) = inputs
        factors = (activations != 0).double() if skip_zeros else torch.ones_like(activations).double()
        totals.append(of_layer(module, factors))

    kinds = nn.Conv2d | nn.Linear | SpatialMixer
    handles = [module.register_forward_pre_hook(enter) for module in twin.modules() if isinstance(module, kinds)]
    twin.eval()(frames)
    for handle in handles:
        handle.remove()
    return sum(totals) / len(frames)


def of_layer(layer: nn.Module, factors: Tensor) -> float:
    """Products of a batch with the weights of ``layer``; ``factors`` are 1 where an activation is multiplied."""
    if isinstance(layer, nn.Conv2d):
        return float((factors.sum(0) * conv_fan_out(layer, factors.shape[-2:])).sum())
    if isinstance(layer, nn.Linear):
        return float((factors.sum(0) * torch.count_nonzero(layer.weight, dim=0)).sum())
    assert isinstance(layer, SpatialMixer)
    side = 2**layer.mixer.levels  # one frame is computed, which stands for as many
    repeated = factors.expand(side, -1, -1, -1, -1)
    return float((by_member(repeated, layer.mixer.levels) * mixer_fan_out(layer.mixer)).sum()) / side


def attention_products(config: EncoderConfig) -> int:
    """Of queries and keys, and of what comes of them and values: N^2 C each, whatever they are."""
    stages = zip(config.mixers, config.stage_sizes, config.channels, config.blocks, strict=True)
    return sum(2 * size**4 * channels * blocks for mixer, size, channels, blocks in stages if mixer == "ssa")


def nonzero_weights(twin: AnnTwin) -> int:
    """Of convolutions, fusions and the hash layer."""
    layers = [module.weight for module in twin.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    fusions = [module.fusion for module in twin.modules() if isinstance(module, WaveMixer)]
    return sum(int(torch.count_nonzero(weight)) for weight in (*layers, *fusions))
