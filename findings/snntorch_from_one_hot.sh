#!/usr/bin/env bash
# snntorch 1.0.0: spikegen.from_one_hot gives the numbers of the rows, not the classes.
#
# Guess before the run: from_one_hot undoes to_one_hot.
# Seen: classes 2, 0 come back as 0, 1, and 3, 3, 1 as 0, 1, 2. The example in its documentation has the classes 0 to 3 in
# that order, where the two are the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 snntorch==1.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import torch
from snntorch import spikegen

seen = {}
for classes in ((0, 1, 2, 3), (2, 0), (3, 3, 1)):
    one_hot = spikegen.to_one_hot(torch.tensor(classes), 4)
    assert one_hot.argmax(dim=1).tolist() == list(classes)
    seen[classes] = spikegen.from_one_hot(one_hot).tolist()
    print(f"{list(classes)} back from one-hot: {seen[classes]}")
if any(rows != list(range(len(classes))) for classes, rows in seen.items()):
    raise SystemExit("changed")
print("still so")
PY
