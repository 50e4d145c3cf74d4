#!/usr/bin/env bash
# snntorch 1.0.0: export_to_nir writes the same neuron whatever its reset mechanism, and it comes back with another.
#
# Guess before the run: NIR's LIF resets to v_reset, so that a neuron that subtracts its threshold (the default of Leaky) or
# has no reset is refused, or written with more nodes.
# Seen: "subtract", "zero" and "none" give equal nodes, v_reset = 0. Read back by import_from_nir, all three reset to zero:
# the spikes of "subtract" and "none" differ from those before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 snntorch==1.0.0 nir==1.0.8 nirtorch==2.6 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import nir
import snntorch
import torch
from snntorch.export_nir import export_to_nir
from snntorch.import_nir import import_from_nir

STEPS, CURRENT = 12, 0.8
frames = torch.full((STEPS, 1, 1), CURRENT)
written, before, after = {}, {}, {}
for mechanism in ("subtract", "zero", "none"):
    leaky = snntorch.Leaky(
        beta=torch.tensor([0.5]), threshold=torch.tensor([1.0]), reset_mechanism=mechanism, init_hidden=True
    )
    network = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), leaky)
    with torch.no_grad():
        network[0].weight.fill_(1.0)
    before[mechanism] = [int(network(frame)) for frame in frames]
    graph = export_to_nir(network, frames[0], ignore_dims=[0])
    (node,) = (node for node in graph.nodes.values() if isinstance(node, nir.LIF))
    written[mechanism] = [float(getattr(node, name)[0]) for name in ("tau", "r", "v_leak", "v_threshold", "v_reset")]
    module, state, after[mechanism] = import_from_nir(graph), None, []
    for frame in frames:
        spikes, state = module(frame, state)
        after[mechanism].append(int(spikes))
    print(f"{mechanism}: {before[mechanism]}, and after a round trip {after[mechanism]}")
same = written["subtract"] == written["zero"] == written["none"]
back = after["subtract"] == after["zero"] == after["none"] == before["zero"]
if not (same and back) or before["zero"] in (before["subtract"], before["none"]):
    raise SystemExit("changed")
print("still so")
PY
