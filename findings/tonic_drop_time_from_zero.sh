#!/usr/bin/env bash
# tonic 1.7.0: DropEventByTime takes every recording to begin at 0; of a later one it drops nothing.
#
# Guess before the run: a fifth of the recording's duration, which is 0.2, is left out, wherever its clock began.
# Seen: of a recording of one second that begins at 1,000 seconds, as those of cameras whose clocks run on, no event is left
# out in 399 of 400 draws; of the same from 0, a fifth each time.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tonic==1.7.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from tonic.transforms import DropEventByTime

EVENTS, DRAWS, LATER = 10_000, 400, 1_000_000_000
events = np.zeros(EVENTS, [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])
events["t"] = np.arange(EVENTS) * 100
late = events.copy()
late["t"] += LATER
np.random.seed(0)
drop = DropEventByTime(duration_ratio=0.2)
shares = {name: [1 - len(drop(each.copy())) / EVENTS for _ in range(DRAWS)] for name, each in (("from 0", events), ("later", late))}
untouched = {name: sum(value == 0 for value in values) for name, values in shares.items()}
for name, values in shares.items():
    print(f"{name}: shares left out from {min(values):.2f} to {max(values):.2f}; none in {untouched[name]} of {DRAWS} draws")
if not all(0.19 < value < 0.21 for value in shares["from 0"]) or untouched["later"] < 0.98 * DRAWS:
    raise SystemExit("changed")
print("still so")
PY
