#!/usr/bin/env bash
# spikingjelly 2.0.0: a LIF read from NIR fires at its threshold, where NIR says above it.
#
# Guess before the run: import_from_nir keeps NIR's rule, a spike where v > v_threshold.
# Seen: with dt/tau = 1/2 an input of exactly 2 brings v to the threshold of 1, and it fires; by NIR's equation, and in
# norse read from the same graph, it does not. With weights in powers of two potentials meet thresholds all the time.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 nir==1.0.8 nirtorch==2.6 numpy==2.4.6 scipy==1.17.1 matplotlib==3.11.2 tqdm==4.70.1 loguru==0.7.3
"$folder/venv/bin/pip" install --quiet --no-deps spikingjelly==2.0.0 norse==1.1.0  # without torchvision, which they do not use here
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import nir
import norse.torch as norse
import numpy as np
import torch
from spikingjelly.activation_based import nir_exchange

dt, size = 1e-3, np.array([3])
neurons = nir.LIF(tau=np.full(3, 2 * dt), r=np.ones(3), v_leak=np.zeros(3), v_threshold=np.ones(3), v_reset=np.zeros(3))
nodes = {"input": nir.Input({"input": size}), "lif": neurons, "output": nir.Output({"output": size})}
graph = nir.NIRGraph(nodes, [("input", "lif"), ("lif", "output")])
current = torch.tensor([[1.75, 2.0, 2.25]])
seen = {
    "spikingjelly": nir_exchange.import_from_nir(graph, dt)(current)[0],
    "norse": norse.from_nir(graph, dt=dt)(current)[0],
}
seen = {name: spikes.detach().numpy().ravel().tolist() for name, spikes in seen.items()}
print("spikes where v is 0.875, 1 and 1.125 and the threshold 1:", seen)
if seen != {"spikingjelly": [0.0, 1.0, 1.0], "norse": [0.0, 0.0, 1.0]}:
    raise SystemExit("changed")
print("still so")
PY
