#!/usr/bin/env bash
# tonic 1.7.0: DropEventByArea(area_ratio=(least, most)) draws ratios from most to 1.
#
# Guess before the run: as documented, the ratio is drawn between the two numbers.
# Seen: with (0.1, 0.2) boxes are up to nearly as large as the sensor, and none is smaller than a fifth of a side.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tonic==1.7.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from tonic.transforms import DropEventByArea

SIDE, DRAWS, LEAST, MOST = 100, 300, 0.1, 0.2
events = np.zeros(SIDE * SIDE, [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])  # one of each pixel
events["x"], events["y"] = np.divmod(np.arange(SIDE * SIDE), SIDE)
events["t"] = np.arange(SIDE * SIDE)
np.random.seed(0)
drop = DropEventByArea((SIDE, SIDE, 2), area_ratio=(LEAST, MOST))
sides = [float(np.sqrt(len(events) - len(drop(events.copy()))) / SIDE) for _ in range(DRAWS)]
print(f"asked for {LEAST} to {MOST}: sides of the boxes, in units of the sensor's, from {min(sides):.2f} to {max(sides):.2f}")
if not (MOST <= min(sides) < 0.25 and max(sides) > 0.95):
    raise SystemExit("changed")
print("still so")
PY
