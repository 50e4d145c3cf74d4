#!/usr/bin/env bash
# tonic 1.7.0: ToFrame(n_time_bins=N) leaves events out without a word.
#
# Guess before the run: N bins cover the recording; at most the last event falls on the border.
# Seen: a bin is (last - first) // N long, rounded down in the unit of t, so that N bins end before the recording does:
# of 16 events at t = 0..15, 8 bins hold 8. Events of one time stamp are all lost. Files whose clock counts frames or
# milliseconds are hit most.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tonic==1.7.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from tonic.transforms import ToFrame

events = np.zeros(16, [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])
events["t"] = np.arange(16)
counts = {bins: int(ToFrame(sensor_size=(8, 8, 2), n_time_bins=bins)(events).sum()) for bins in (3, 5, 8)}
events["t"] = 7
counts["one time stamp, 4"] = int(ToFrame(sensor_size=(8, 8, 2), n_time_bins=4)(events).sum())
print("events of 16 in the frames, by number of bins:", counts)
if counts != {3: 15, 5: 15, 8: 8, "one time stamp, 4": 0}:
    raise SystemExit("changed")
print("still so")
PY
