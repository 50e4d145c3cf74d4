#!/usr/bin/env bash
# neurobench 2.3.0: one prediction that is right, of a label that is 0, makes the sMAPE of its whole batch 200, the worst.
#
# Guess before the run: a perfect prediction has an sMAPE of 0, and a pair of zeros adds nothing to the mean.
# Seen: with labels 0 to 7 predicted exactly, in batches of four, the sMAPE is 100: 0 for the one batch, 200 for the other, in
# which 0 / 0 makes the mean NaN. Labels 1 to 8 give 0. With a batch of all eight it is 200.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 snntorch==1.0.0 tqdm==4.70.1
"$folder/venv/bin/pip" install --quiet --no-deps neurobench==2.3.0  # without torchvision and its like, which it does not use here
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.workload import MSE, SMAPE
from neurobench.models import TorchModel
from torch.utils.data import DataLoader, TensorDataset


def scores(first: int, batch: int) -> tuple[float, float]:
    labels = torch.arange(first, first + 8.0)[:, None]
    loader = DataLoader(TensorDataset(labels, labels), batch_size=batch)
    perfect = TorchModel(torch.nn.Sequential(torch.nn.Identity()))
    result = Benchmark(perfect, loader, [], [], [[], [SMAPE, MSE]]).run(quiet=True)
    return result["SMAPE"], result["MSE"]


def right(labels: np.ndarray, predictions: np.ndarray) -> float:
    size = np.abs(labels) + np.abs(predictions)
    return float(200 * np.mean(np.divide(np.abs(labels - predictions), size, out=np.zeros_like(size), where=size > 0)))


labels = np.arange(8.0)
seen = {(first, batch): scores(first, batch) for first, batch in ((1, 4), (0, 4), (0, 8))}
for (first, batch), (smape, mse) in seen.items():
    print(f"labels from {first}, batches of {batch}: sMAPE {smape}, MSE {mse}; by numpy {right(labels + first, labels + first)}")
if list(seen.values()) != [(0, 0), (100, 0), (200, 0)]:
    raise SystemExit("changed")
print("still so")
PY
