#!/usr/bin/env bash
# neurobench 2.3.0: of a recurrent cell that is called without a state, only the first sample of each batch is counted.
#
# Guess before the run: RNNCell(x) counts as RNNCell(x, zeros) does, for torch takes zeros then; the operations of a sample do
# not depend on the size of the batch.
# Seen: RNNCell(3, 2) does six multiplications with its input. Given zeros as its state it has six a sample in batches of 1, 4
# and 8; without, 6, 1.5 and 0.75: the total of one sample, over the samples of the batch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 snntorch==1.0.0 tqdm==4.70.1
"$folder/venv/bin/pip" install --quiet --no-deps neurobench==2.3.0  # without torchvision and its like, which it does not use here
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.workload import SynapticOperations
from neurobench.models import TorchModel
from torch.utils.data import DataLoader, TensorDataset

INPUTS, HIDDEN = 3, 2


class Step(torch.nn.Module):
    def __init__(self, with_state: bool) -> None:
        super().__init__()
        self.cell, self.with_state = torch.nn.RNNCell(INPUTS, HIDDEN), with_state

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x, torch.zeros(len(x), HIDDEN)) if self.with_state else self.cell(x)


torch.manual_seed(0)
samples = torch.rand(8, INPUTS) + 0.1
torch.manual_seed(1)
given = Step(True)
torch.manual_seed(1)
left_out = Step(False)
assert torch.equal(given(samples), left_out(samples))
seen = {}
for name, step in (("zeros", given), ("no state", left_out)):
    for batch in (1, 4, 8):
        loader = DataLoader(TensorDataset(samples, torch.zeros(8, HIDDEN)), batch_size=batch)
        result = Benchmark(TorchModel(step), loader, [], [], [[], [SynapticOperations]]).run(quiet=True)
        seen[name, batch] = result["SynapticOperations"]["Effective_MACs"]
print(f"multiplications a sample, {INPUTS * HIDDEN} by hand:", seen)
if list(seen.values()) != [6, 6, 6, 6, 1.5, 0.75]:
    raise SystemExit("changed")
print("still so")
PY
