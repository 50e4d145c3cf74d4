#!/usr/bin/env bash
# snntorch 1.0.0: spikegen.targets_rate works for the rates 1 and 0 alone; with others it raises, or mixes time with classes.
#
# Guess before the run: targets of shape (steps, batch, classes), in which the right class fires at correct_rate.
# Seen: with a correct_rate of 0.5 or an incorrect_rate of 0.1, 20 steps and 10 classes raise RuntimeError. With as many steps
# as classes, 10 and 10, nothing is said, and the targets are of shape (10, 2, 10, 2, 10) for a batch of two.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 snntorch==1.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import torch
from snntorch import spikegen

CLASSES, targets = 10, torch.tensor([3, 7])
seen = {}
for steps in (20, CLASSES):
    for rates in ({"correct_rate": 0.5}, {"correct_rate": 1, "incorrect_rate": 0.1}):
        try:
            made = spikegen.targets_rate(targets, num_classes=CLASSES, num_steps=steps, **rates)
            said = tuple(made.shape)
        except RuntimeError as error:
            said = str(error)
        seen.setdefault(steps, []).append(said)
        print(f"{steps} steps, {rates}: {said}, not {(steps, len(targets), CLASSES)}")
if seen[CLASSES] != [(10, 2, 10, 2, 10)] * 2 or not all(isinstance(said, str) for said in seen[20]):
    raise SystemExit("changed")
print("still so")
PY
