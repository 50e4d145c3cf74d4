#!/usr/bin/env bash
# sinabs 3.1.3: an IF read from NIR forgets inhibition beyond its threshold.
#
# Guess before the run: an integrate-and-fire neuron adds up what it gets, as NIR's equation has it, below zero too.
# Seen: after five steps of -1 a neuron whose threshold is 1 stands at -1, not at -5, and steps of 0.75 make it fire at the
# third of them; NIR's neuron is above its threshold at the ninth.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 sinabs==3.1.3 nir==1.0.4 nirtorch==2.0.2 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import nir
import numpy as np
import torch
from sinabs.nir import from_nir

INHIBITED, EXCITED = 5, 12
currents = np.array([-1.0] * INHIBITED + [0.75] * EXCITED, np.float32)
one = np.ones(1, np.float32)
nodes = {
    "input": nir.Input({"input": np.array([1])}),
    "if": nir.IF(r=one, v_threshold=one),
    "output": nir.Output({"output": np.array([1])}),
}
graph = nir.NIRGraph(nodes, [("input", "if"), ("if", "output")])
with torch.no_grad():
    answer = from_nir(graph, batch_size=1, num_timesteps=len(currents))(torch.from_numpy(currents)[:, None])
spikes = (answer[0] if isinstance(answer, tuple) else answer).numpy().ravel()
first = int(np.flatnonzero(spikes > 0)[0]) - INHIBITED + 1
expected = int(np.flatnonzero(np.cumsum(currents) > 1)[0]) - INHIBITED + 1
print(f"first spike at excited step {first}, by NIR's equation at {expected}")
if (first, expected) != (3, 9):
    raise SystemExit("changed")
print("still so")
PY
