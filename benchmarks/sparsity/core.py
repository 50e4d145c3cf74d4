"""What a code takes on a core of the machine at hand: spiking networks in ``events``, their twin in ONNX Runtime."""

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.encode import Encode, measure
from benchmarks.results.plan import DatasetName
from benchmarks.sparsity.jobs import data_of, recorded, write_records
from benchmarks.sparsity.plan import SparseTwin
from benchmarks.sparsity.twins import BITS
from deploy.backends.events.encoder import EventsEncoder
from export.encoder.network import load_network
from export.onnx.twin import load_twin, write_forms
from training.baselines.fit import load_fitting
from training.baselines.twin import AnnTwin
from training.data.configured import load_data
from training.train import LAST

RECORDINGS = 64
"""Test recordings, one call each."""
SECONDS = 20.0
"""Of measuring, per network, at least three rounds over all recordings."""
Frames = NDArray[np.uint8]


def run_core(dataset: DatasetName, seed: int, dense: Path, out: Path, nmnist: Path | None) -> None:
    """Time all networks of ``dataset`` that ``out`` holds of ``seed``, in turns, unless it holds the times."""
    key = f"{dataset}-core-s{seed}"
    if recorded(out, key):
        return
    with tempfile.TemporaryDirectory() as folder:
        encoders = spiking_encoders(dataset, seed, dense, out, nmnist)
        encoders |= twin_encoders(SparseTwin("int8_twin", dataset, BITS, seed), out, nmnist, Path(folder))
        times = measure(encoders, np.empty(0, np.uint8), SECONDS)
    rows = [
        {"dataset": dataset, "seed": seed, "network": name, "cpu_ms": 1e3 * float(spent[:, 1].min()) / RECORDINGS}
        for name, spent in times.items()
    ]
    write_records(out, key, rows)


def spiking_encoders(dataset: DatasetName, seed: int, dense: Path, out: Path, nmnist: Path | None) -> dict[str, Encode]:
    """By name, the dense network and those with a record in ``out``; each encodes its own frames of the recordings."""
    places = {"Spikinghash, dense": dense}
    for path in sorted(out.glob(f"{dataset}-*-s{seed}.record.json")):
        for record in json.loads(path.read_text()):
            if record["spiking"] and "budget" in record:
                places[record["name"]] = out / f"{path.name.removesuffix('.record.json')}-grids" / LAST
    encoders: dict[str, Encode] = {}
    for name, path in places.items():
        data, sets = data_of(path, dataset, nmnist)
        encode = EventsEncoder(load_network(path).integer(), threads=1).encode
        encoders[name] = partial(_one_by_one, encode, data.frames[sets.test[:RECORDINGS]])
    return encoders


def twin_encoders(job: SparseTwin, out: Path, nmnist: Path | None, folder: Path) -> dict[str, Encode]:
    """The ANN twin of one frame that the quantised ones start from, in float32 and in int8."""
    assert job.start is not None
    config = job.config(nmnist)
    twin = AnnTwin(config.encoder, 1)
    load_fitting(twin, out / f"{job.start.key}.pt")
    data, sets = load_data(config)
    frames, ranges = data.frames[sets.test[:RECORDINGS]], data.frames[sets.training[:RECORDINGS]]
    return {
        f"ANN twin, {form}, ONNX Runtime": partial(_one_by_one, load_twin(path, threads=1), frames.astype(np.float32))
        for form, path in write_forms(twin, frames, ranges, folder, "twin")
    }


def _one_by_one(encode: Callable[[Any], NDArray[np.uint8]], frames: NDArray[Any], _: Frames) -> NDArray[np.uint8]:
    return np.concatenate([encode(frames[index : index + 1]) for index in range(len(frames))])
