#!/usr/bin/env bash
# expelliarmus 1.1.12: times of an EVT3 file as cameras write it are read nearly twice as long.
#
# Guess before the run: times come back as they were written.
# Seen: a file with a TIME_HIGH word wherever the upper twelve bits change, as the format asks for, of one event a
# millisecond for a second, is read as 1.999 s: each time the lower bits fall, 4096 us are added, and the TIME_HIGH before
# them is added as well. Its own writer writes a single TIME_HIGH, so that its own files come back right, and any other
# reader finds all of their times below 4096 us.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet expelliarmus==1.1.12 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
from pathlib import Path

import numpy as np
from expelliarmus import Wizard

times = np.arange(1001) * 1000
words, high = [], None
for time in times.tolist():
    if time >> 12 != high:
        high = time >> 12
        words.append(0x8000 | high)  # TIME_HIGH
    words += [0x6000 | time & 0xFFF, 0x0000 | 7, 0x2000 | 5]  # TIME_LOW, row 7, column 5
header = b"% evt 3.0\n% format EVT3;height=480;width=640\n% end\n"
Path("camera.raw").write_bytes(header + np.array(words, "<u2").tobytes())
read = Wizard(encoding="evt3").read("camera.raw")["t"]
print("last event written at", times[-1], "us, read at", read[-1], "us")

events = np.zeros(1001, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")])
events["t"] = times
Wizard(encoding="evt3").save("own.raw", events)
content = Path("own.raw").read_bytes()
lines = [line for line in content.split(b"\n") if line.startswith(b"%")]
body = np.frombuffer(content[sum(len(line) + 1 for line in lines) :], "<u2")
highs = int((body >> 12 == 8).sum())
print("TIME_HIGH words in a file of its own:", highs, "for 1 s, which has", times[-1] // 4096, "changes")
if read[-1] < 1.9 * times[-1] or highs != 1:
    raise SystemExit("changed")
print("still so")
PY
