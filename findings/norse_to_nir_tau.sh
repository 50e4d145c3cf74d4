#!/usr/bin/env bash
# norse 1.1.0: to_nir writes dt times the time constant, leaves v_reset out, and counts the batch as an axis of the input.
#
# Guess before the run: tau = 1 / tau_mem_inv, v_reset and the shape of a sample, as NIR defines them.
# Seen: tau_mem_inv = 500 per second is a tau of 2e-3 s, and 2e-6 is written (dt is 1e-3); v_reset = -0.2 is written as 0; of
# a batch (1, 3) the Input is (1, 3). Other readers of the file see neurons that forget within a step.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 nir==1.0.8 nirtorch==2.6 numpy==2.4.6 matplotlib==3.11.2
"$folder/venv/bin/pip" install --quiet --no-deps norse==1.1.0  # without torchvision, which it does not use here
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import norse.torch as norse
import torch

parameters = norse.LIFBoxParameters(
    tau_mem_inv=torch.tensor(500.0), v_th=torch.tensor(0.7), v_reset=torch.tensor(-0.2)
)
graph = norse.to_nir(norse.SequentialState(norse.LIFBoxCell(parameters)), torch.zeros(1, 3), dt=1e-3)
neuron, shape = graph.nodes["0"], graph.nodes["input"].input_type["input"].tolist()
tau, reset, threshold = float(neuron.tau), float(neuron.v_reset), float(neuron.v_threshold)
print(f"tau {tau:g} s, v_reset {reset:g}, v_threshold {threshold:g}, input {shape}")
if abs(tau - 2e-6) > 1e-9 or reset != 0 or shape != [1, 3]:
    raise SystemExit("changed")
print("still so")
PY
