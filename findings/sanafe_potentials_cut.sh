#!/usr/bin/env bash
# sanafe 2.2.9: what a leak leaves of a potential is cut to multiples of 1/64, so that small weights never add up.
#
# Guess before the run: leaky_integrate_fire computes v * leak_decay + input, as its attributes are described; a network whose
# weights and thresholds are all multiplied by one number fires as before.
# Seen: with a weight of 0.01, a leak_decay of 0.999 and a threshold of 0.055 a neuron that gets a spike each step never fires,
# and with both times 1024 it fires at each sixth. A network trained with weights around 0.01 is silent, without a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sanafe==2.2.9
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY' | grep -v "^Executed steps"
import sanafe

STEPS, WEIGHT, DECAY, THRESHOLD = 20, 0.01, 0.999, 0.055
SCALES = (1, 1024)
architecture, network = sanafe.load_loihi(), sanafe.Network()
core = architecture.tiles[0].cores[0]
source = network.create_neuron_group("source", 1, {"spikes": [True] * STEPS}, soma_hw_name="loihi_inputs[0]")[0]
source.map_to_core(core)
for scale in SCALES:
    neuron = {"threshold": THRESHOLD * scale, "leak_decay": DECAY, "reset": 0.0}
    target = network.create_neuron_group(f"times {scale}", 1, neuron, soma_hw_name="loihi_lif", log_spikes=True)[0]
    target.map_to_core(core)
    source.connect_to_neuron(target, {"weight": WEIGHT * scale})
chip = sanafe.SpikingChip(architecture)
chip.load(network)
trace = chip.sim(STEPS, spike_trace=True, timing_model="simple", processing_threads=1)["spike_trace"]
right, potential = [], 0.0
for step in range(1, STEPS):  # a synapse takes a step
    potential = potential * DECAY + WEIGHT
    if potential > THRESHOLD:
        right, potential = [*right, step], 0.0
seen = {scale: [step for step, fired in enumerate(trace) if any(each.group_name == f"times {scale}" for each in fired)] for scale in SCALES}
for scale, steps in seen.items():
    print(f"weight and threshold times {scale}: fires at {steps}, and should at {right}")
if seen != {1: [], 1024: right} or not right:
    raise SystemExit("changed")
print("still so")
PY
