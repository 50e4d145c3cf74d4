#!/usr/bin/env bash
# sinabs 3.1.3: a LIF read from NIR settles where its input adds up to, not where NIR says.
#
# Guess before the run: under a constant current the potential settles at v_leak + r * i, as NIR's equation has it, or the
# node is refused.
# Seen: with r = 1, a threshold of 1 and a current of 0.3, which NIR lets settle at 0.3, the neuron fires at every fifth
# step; with r = 0.1 at the same steps. The current is neither scaled by dt / tau nor by r.
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

STEPS, CURRENT = 40, 0.3


def one(value):
    return np.array([value], np.float32)


seen = []
for resistance in (1.0, 0.1):
    nodes = {
        "input": nir.Input({"input": np.array([1])}),
        "lif": nir.LIF(tau=one(5), r=one(resistance), v_leak=one(0), v_threshold=one(1)),
        "output": nir.Output({"output": np.array([1])}),
    }
    module = from_nir(
        nir.NIRGraph(nodes, [("input", "lif"), ("lif", "output")]), batch_size=1, num_timesteps=STEPS
    )
    with torch.no_grad():
        answer = module(torch.full((STEPS, 1), CURRENT))
    spikes = answer[0] if isinstance(answer, tuple) else answer
    seen.append(np.flatnonzero(spikes.numpy().ravel()).tolist())
    print(f"r = {resistance}: NIR settles at {resistance * CURRENT:.2f} below the threshold of 1; spikes at steps {seen[-1]}")
if seen != [list(range(4, STEPS, 5))] * 2:
    raise SystemExit("changed")
print("still so")
PY
