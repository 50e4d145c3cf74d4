#!/usr/bin/env bash
# evlib 0.13.2: times in seconds are right in a text file; in an HDF5 file they are cut to whole microseconds.
#
# Guess before the run: floating-point times in HDF5 are seconds, as in text files, or are refused.
# Seen: of events from 5.0 to 5.999 s the text file gives 5 to 5.999 s; events/t as float64 in HDF5 gives 5 us for every
# one of them, without a word. Whole microseconds in HDF5 are read right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet evlib==0.13.2 numpy==2.4.6 h5py==3.16.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
from datetime import timedelta

import evlib
import h5py
import numpy as np

index = np.arange(1000)
micros = 5_000_000 + 1000 * index
with open("seconds.txt", "w") as file:
    file.writelines(f"{time / 1e6:.6f} {i % 640} {i % 480} {i % 2}\n" for i, time in enumerate(micros.tolist()))
for name, times in (("seconds.h5", micros / 1e6), ("micros.h5", micros)):
    with h5py.File(name, "w") as file:
        file["events/t"], file["events/x"], file["events/y"], file["events/p"] = times, index % 640, index % 480, index % 2
seen = {}
for name in ("seconds.txt", "seconds.h5", "micros.h5"):
    column = evlib.load_events(name).collect()["t"].to_list()
    seen[name] = (column[0] / timedelta(seconds=1), column[-1] / timedelta(seconds=1))
    print(f"{name}: from {seen[name][0]} to {seen[name][1]} s")
if seen != {"seconds.txt": (5.0, 5.999), "seconds.h5": (5e-6, 5e-6), "micros.h5": (5.0, 5.999)}:
    raise SystemExit("changed")
print("still so")
PY
