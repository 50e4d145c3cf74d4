#!/usr/bin/env bash
# neurobench 2.3.0: ActivationSparsityByLayer makes one layer of all that have the same name within their blocks.
#
# Guess before the run: an entry for each activation layer, as "0.act" and "1.act", or a refusal.
# Seen: two blocks whose activations are both called "act", the first always on, the second always off, give {"act": 0.5};
# torch's named_modules tells them apart. Residual and transformer blocks have their layers named alike. Asked for alone the
# metric raises AttributeError, since it does not call its base class's constructor.
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
from neurobench.metrics.workload import ActivationSparsity, ActivationSparsityByLayer
from neurobench.models import TorchModel
from torch.utils.data import DataLoader, TensorDataset


class Block(torch.nn.Module):
    def __init__(self, bias: float) -> None:
        super().__init__()
        self.linear, self.act = torch.nn.Linear(4, 4), torch.nn.ReLU()
        torch.nn.init.zeros_(self.linear.weight)
        torch.nn.init.constant_(self.linear.bias, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.linear(x))


network = torch.nn.Sequential(Block(1.0), Block(-1.0))
loader = DataLoader(TensorDataset(torch.ones(8, 4), torch.ones(8, 4)), batch_size=4)
on_hand, values = {}, torch.ones(8, 4)
with torch.no_grad():
    for name, block in network.named_children():
        values = block(values)
        on_hand[f"{name}.act"] = float((values == 0).float().mean())
result = Benchmark(TorchModel(network), loader, [], [], [[], [ActivationSparsity, ActivationSparsityByLayer]]).run(quiet=True)
print("counted by hand:", on_hand, "by neurobench:", result["ActivationSparsityByLayer"])
try:
    Benchmark(TorchModel(network), loader, [], [], [[], [ActivationSparsityByLayer]])
    alone = None
except AttributeError as error:
    alone = error
    print("alone: AttributeError:", error)
if on_hand != {"0.act": 0.0, "1.act": 1.0} or result["ActivationSparsityByLayer"] != {"act": 0.5} or alone is None:
    raise SystemExit("changed")
print("still so")
PY
