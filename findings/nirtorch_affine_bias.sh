#!/usr/bin/env bash
# nirtorch 2.6: nir_to_torch keeps the weight of an Affine node and puts a random bias in place of its own.
#
# Guess before the run: an Affine node becomes a torch.nn.Linear with its weight and its bias.
# Seen: with a bias of zeros and no input the answer is not zero, and differs from one seed of torch to the next; the
# weight is the node's. A mapping of one's own for nir.Affine avoids it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 nirtorch==2.6 nir==1.0.8 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import nir
import nirtorch
import numpy as np
import torch

weight = np.arange(6, dtype=np.float32).reshape(2, 3)
nodes = {
    "input": nir.Input({"input": np.array([3])}),
    "map": nir.Affine(weight, np.zeros(2, np.float32)),
    "output": nir.Output({"output": np.array([2])}),
}
graph = nir.NIRGraph(nodes, [("input", "map"), ("map", "output")])
biases, weights = [], []
for seed in range(2):
    torch.manual_seed(seed)
    module = nirtorch.nir_to_torch(graph, node_map={})
    answer, _ = module(torch.zeros(1, 3))
    biases.append(answer.detach().numpy()[0])
    weights.append(np.stack([module(unit[None])[0].detach().numpy()[0] for unit in torch.eye(3)], axis=1) - biases[-1][:, None])
print("answers to zeros, for two seeds:", biases)
right = all(np.allclose(each, weight, atol=1e-6) for each in weights)
if not right or not all(np.abs(each).min() > 0 for each in biases) or np.allclose(biases[0], biases[1]):
    raise SystemExit("changed")
print("still so")
PY
