#!/usr/bin/env bash
# evio 0.1.0: binary_tensor(bins=N) spreads a recording over N - 1 bins, and the last one holds the last event alone.
#
# Guess before the run: N bins of equal length cover the recording, so that evenly spaced events fill them alike.
# Seen: of 1,000 evenly spaced events, one a pixel, 4 bins hold 333, 333, 333 and 1; with 2 bins the first holds 999, with a
# single one it is right. Times are scaled to N - 1, as a voxel grid needs it, and then rounded down. A network of N steps
# gets N - 1 of them, and nothing at its last.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet evio==0.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import evio
import numpy as np

index = np.arange(1000)
events = evio.from_arrays(index % 40, index // 40, 1000 * index, np.ones(1000, np.int8))
seen = {}
for bins in (1, 2, 4):
    tensor = evio.binary_tensor(events, bins=bins, sensor_size=(40, 25))
    seen[bins] = tensor.sum(axis=(1, 2, 3)).tolist()
    even = np.histogram(events["t"], bins)[0].tolist()
    print(f"{bins} bins hold {seen[bins]}, numpy's histogram {even}")
if seen != {1: [1000], 2: [999, 1], 4: [333, 333, 333, 1]}:
    raise SystemExit("changed")
print("still so")
PY
