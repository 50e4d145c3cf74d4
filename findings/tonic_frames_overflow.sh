#!/usr/bin/env bash
# tonic 1.7.0: frames count in int16, and the count of a busy pixel turns negative.
#
# Guess before the run: the type is wide enough, or the count stops at its largest value.
# Seen: 40,000 events of one pixel in one frame are -25,536 in ToImage and in ToFrame. Hot pixels and long windows of
# high-rate sensors reach that; a later normalisation then hides it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tonic==1.7.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from tonic.transforms import ToFrame, ToImage

events = np.zeros(40000, [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])
events["t"] = np.arange(40_000)
image = ToImage(sensor_size=(8, 8, 2))(events)
frame = ToFrame(sensor_size=(8, 8, 2), event_count=40_000)(events)
print("image", image.dtype, int(image.min()), int(image.max()), "frame", frame.dtype, int(frame.min()))
if (image.dtype, int(image.min()), int(frame.min())) != (np.dtype("int16"), -25_536, -25_536):
    raise SystemExit("changed")
print("still so")
PY
