#!/usr/bin/env bash
# pynear 2.6.0: searchKNN of the tree and graph indexes gives the farthest of the k first, that of the others the nearest.
#
# Guess before the run: nearest first, as the README of the package says of VPTreeL2Index and as other libraries do.
# Seen: VPTreeBinaryIndex, VPTreeL2Index and HNSWBinaryIndex have the nearest last, IVFFlatBinaryIndex and MIHBinaryIndex
# first. The neighbours are the right ones; who takes the first column for the best hit, or cuts a longer list short, gets
# the worst. searchKNN_arrays of the same object gives the nearest first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pynear==2.6.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pynear

NEAREST = 4
# Codes at 0, 1, ... 7 bits from the query, in a shuffled order; 64 far ones give the clusters of IVF something to hold.
near = np.array([[(1 << bits) - 1] + [0] * 7 for bits in (5, 2, 7, 0, 3, 6, 1, 4)], np.uint8)
far = np.random.default_rng(0).integers(0, 256, (64, 8), dtype=np.uint8) | 0xF0
codes = np.concatenate([near, far])
query = np.zeros((1, 8), np.uint8)
seen = {}
for name in ("VPTreeBinaryIndex", "HNSWBinaryIndex", "IVFFlatBinaryIndex", "MIHBinaryIndex"):
    index = getattr(pynear, name)()
    index.set(codes)
    ids, distances = index.searchKNN(query, NEAREST)
    seen[name] = [int(value) for value in distances[0]]
    assert seen[name] == np.unpackbits(codes[ids[0]], axis=1).sum(axis=1).tolist(), name
points = np.arange(8, dtype=np.float32)[:, None] * np.ones(4, np.float32) / 2  # at 0, 1, ... 7 from the origin
index = pynear.VPTreeL2Index()
index.set(points)
origin = np.zeros((1, 4), np.float32)
for name, search in (("VPTreeL2Index", index.searchKNN), ("VPTreeL2Index, arrays", index.searchKNN_arrays)):
    seen[name] = [round(float(value)) for value in search(origin, NEAREST)[1][0]]
for name, distances in seen.items():
    print(f"{name}: {distances}")
nearest = list(range(NEAREST))
first = {"IVFFlatBinaryIndex", "MIHBinaryIndex", "VPTreeL2Index, arrays"}
if any(distances != (nearest if name in first else nearest[::-1]) for name, distances in seen.items()):
    raise SystemExit("changed")
print("still so")
PY
