#!/usr/bin/env bash
# sanafe 2.2.9: on its own Loihi a synapse's delay has no effect, and in its unit for delays spikes are lost.
#
# Guess before the run: a spike over a synapse with a delay of 2 arrives two steps after one without, or the delay is refused.
# Seen: with the dendrite taken by default, "accumulator", a delay of 2 changes nothing. "accumulator_with_delay" gives on what
# has waited a step late, and only if another spike comes in at that step: a single spike never arrives, with a delay or
# without, and of five in a row with a delay of 2 two do. Nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sanafe==2.2.9
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY' | grep -v "^Executed steps"
import sanafe

STEPS, DELAY = 12, 2
trains = {"one spike": [1], "five spikes": [1, 2, 3, 4, 5]}
dendrites = {"default": "", "with delay": "loihi_dendrites_delay"}
architecture, network = sanafe.load_loihi(), sanafe.Network()
core, cases = architecture.tiles[0].cores[0], {}
for number, (train, steps) in enumerate(trains.items()):
    spikes = {"spikes": [step in steps for step in range(STEPS)]}
    source = network.create_neuron_group(f"source{number}", 1, spikes, soma_hw_name=f"loihi_inputs[{number}]")[0]
    source.map_to_core(core)
    for dendrite, unit in dendrites.items():
        for delay in (0, DELAY):
            cases[name := f"target{len(cases)}"] = (train, dendrite, delay)
            neuron = {"threshold": 0.5, "leak_decay": 1.0, "reset": 0.0}
            target = network.create_neuron_group(
                name, 1, neuron, soma_hw_name="loihi_lif", log_spikes=True, **({"default_dendrite_hw_name": unit} if unit else {})
            )[0]
            target.map_to_core(core)
            source.connect_to_neuron(target, {"weight": 1.0} | ({"delay": delay} if delay else {}))
chip = sanafe.SpikingChip(architecture)
chip.load(network)
trace = chip.sim(STEPS, spike_trace=True, timing_model="simple", processing_threads=1)["spike_trace"]
seen = {}
for name, (train, dendrite, delay) in cases.items():
    seen[train, dendrite, delay] = [step for step, fired in enumerate(trace) if any(each.group_name == name for each in fired)]
    right = [step + 1 + delay for step in trains[train]]
    print(f"{train}, dendrite {dendrite}, delay {delay}: the target fires at {seen[train, dendrite, delay]}, and should at {right}")
expected = {
    ("one spike", "default", 0): [2],
    ("one spike", "default", 2): [2],
    ("one spike", "with delay", 0): [],
    ("one spike", "with delay", 2): [],
    ("five spikes", "default", 0): [2, 3, 4, 5, 6],
    ("five spikes", "default", 2): [2, 3, 4, 5, 6],
    ("five spikes", "with delay", 0): [3, 4, 5, 6],
    ("five spikes", "with delay", 2): [5, 6],
}
if seen != expected:
    raise SystemExit("changed")
print("still so")
PY
