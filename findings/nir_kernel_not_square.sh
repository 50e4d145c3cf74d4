#!/usr/bin/env bash
# nir 1.0.8: the output type of a Conv2d whose kernel is not square is wrong.
#
# Guess before the run: each axis is computed from its own kernel size.
# Seen: a kernel of 3x1 on a map of 4x6 without padding leaves 2x6; nir says 2x4, since it takes the kernel's height for
# both axes. A graph with the right shapes is refused, one with the wrong shapes accepted.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nir==1.0.8 numpy==2.4.6 h5py==3.16.0 scipy==1.17.1
"$folder/venv/bin/python" -W ignore - <<'PY'
import nir
import numpy as np
from scipy.signal import correlate

weight = np.ones((1, 1, 3, 1))
right = correlate(np.ones((4, 6)), weight[0, 0], mode="valid").shape
said = tuple(nir.Conv2d((4, 6), weight, 1, 0, 1, 1, np.zeros(1)).output_type["output"][1:].tolist())
print("by scipy", right, "by nir", said)
assert right == (2, 6)
if said != (2, 4):
    raise SystemExit("changed")
for shape, accepted in ((right, False), (said, True)):
    ends = {"input": nir.Input({"input": np.array([1, 4, 6])}), "output": nir.Output({"output": np.array([1, *shape])})}
    nodes = ends | {"conv": nir.Conv2d((4, 6), weight, 1, 0, 1, 1, np.zeros(1))}
    try:
        nir.NIRGraph(nodes, [("input", "conv"), ("conv", "output")])
        seen = True
    except ValueError as error:
        seen = False
        print("refused:", error)
    if seen is not accepted:
        raise SystemExit(f"changed: an output of {shape}")
print("still so")
PY
