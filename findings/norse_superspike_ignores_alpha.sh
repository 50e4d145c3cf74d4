#!/usr/bin/env bash
# norse 1.1.0: the slope alpha of the SuperSpike gradient has no effect.
#
# Guess before the run: a larger alpha makes the surrogate gradient narrower, as in its docstring's formula.
# Seen: with method "super" the gradient is 1 / (|v - theta| + 1)^2 whatever alpha is; "triangle", "circ" and "tanh" do
# change with it. A search over alpha compares equal networks.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/pip" install --quiet --no-deps norse==1.1.0 nir==1.0.8 nirtorch==2.6  # without torchvision, which it does not use here
"$folder/venv/bin/pip" install --quiet h5py==3.16.0 matplotlib==3.11.2
"$folder/venv/bin/python" -W ignore - <<'PY'
import torch
from norse.torch.functional.threshold import threshold

def gradient(method: str, alpha: float) -> float:
    x = torch.tensor([0.3], requires_grad=True)
    threshold(x, method, alpha).sum().backward()
    return round(float(x.grad), 4)

seen = {method: [gradient(method, alpha) for alpha in (1.0, 10.0, 100.0)] for method in ("super", "tanh")}
print("gradient at v - theta = 0.3 for alpha 1, 10, 100:", seen)
if seen["super"] != [round(1 / 1.3**2, 4)] * 3 or len(set(seen["tanh"])) < 2:
    raise SystemExit("changed")
print("still so")
PY
