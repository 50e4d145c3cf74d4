#!/usr/bin/env bash
# faiss-cpu 1.15.1: where fewer than k codes are found, two of the binary indexes say -2147483648 for the distance.
#
# Guess before the run: the ids of missing results are -1, as documented, and their distances the largest number.
# Seen: with three codes and k = 5, IndexBinaryFlat, IndexBinaryIVF, IndexBinaryHash and IndexBinaryMultiHash fill up with
# 2147483647; IndexBinaryHNSW and IndexBinaryFromFloat with -2147483648, the largest float cut to an int on x86-64.
# "distance <= radius" takes those for the nearest codes of all, and their id of -1 is numpy's last row.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet faiss-cpu==1.15.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import faiss
import numpy as np

BITS, RADIUS = 32, 8
codes = np.array([[0, 0, 0, 1], [0, 0, 0, 3], [255, 255, 255, 255]], np.uint8)
query = np.zeros((1, 4), np.uint8)
right = np.unpackbits(codes ^ query, axis=1).sum(axis=1)  # 1, 2 and 32
ivf = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(BITS), BITS, 1)
ivf.cp.min_points_per_centroid = 1
ivf.train(codes)
indexes = {
    "Flat": faiss.IndexBinaryFlat(BITS),
    "IVF": ivf,
    "Hash": faiss.IndexBinaryHash(BITS, 8),
    "MultiHash": faiss.IndexBinaryMultiHash(BITS, 4, 8),
    "HNSW": faiss.IndexBinaryHNSW(BITS, 8),
    "FromFloat": faiss.IndexBinaryFromFloat(faiss.IndexFlatL2(BITS)),
}
indexes["Hash"].nflip = indexes["MultiHash"].nflip = 8
missing = {}
for name, index in indexes.items():
    index.add(codes)
    distances, ids = index.search(query, 5)
    assert ids[0].tolist() == [0, 1, 2, -1, -1] and distances[0, :3].tolist() == right.tolist(), name
    missing[name] = int(distances[0, 3])
    print(f"{name}: {distances[0].tolist()}; within {RADIUS}: ids {ids[0][distances[0] <= RADIUS].tolist()}")
lowest, largest = np.iinfo(np.int32).min, np.iinfo(np.int32).max
if missing != dict.fromkeys(indexes, largest) | {"HNSW": lowest, "FromFloat": lowest}:
    raise SystemExit("changed")
print("still so")
PY
