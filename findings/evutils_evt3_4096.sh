#!/usr/bin/env bash
# evutils 0.3.18: events that lie 4096 us apart, written as EVT3 and read back, all have the time of the first.
#
# Guess before the run: a round trip gives the events that were written.
# Seen: the writer leaves a TIME_LOW out where the lower twelve bits are what they were, as they are 4096 us later, and
# writes the TIME_HIGH alone; the reader takes over a TIME_HIGH only with the next TIME_LOW. Steps of 4095 us pass.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet evutils==0.3.18 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from evutils.io import EventReader, EventWriter
from evutils.types import EventArray

seen = {}
for step in (4095, 4096):
    times = 5000 + step * np.arange(10)
    with EventWriter("events.raw", width=640, height=480) as writer:
        writer.write(EventArray(t=times, x=np.arange(10), y=np.arange(10), p=np.arange(10) % 2))
    read = np.asarray(EventReader("events.raw").read_all()["t"])
    seen[step] = int(np.abs(read - times).max())
    print(f"steps of {step} us: read at {read[:4].tolist()}..., at most {seen[step]} us beside what was written")
if seen != {4095: 0, 4096: 9 * 4096}:
    raise SystemExit("changed")
print("still so")
PY
