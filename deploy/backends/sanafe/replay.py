"""Run a description in SANA-FE: ``python -m deploy.backends.sanafe.replay NETWORK.yaml IN.npz OUT.npz``.

``IN.npz`` holds ``spikes``, bool (samples, steps, inputs) for the group ``input``, and ``cores``, how many the network
takes. ``OUT.npz`` gets ``events``, int (spikes, 4): sample, step, number of the group in ``groups``, neuron.
"""

import sys
from pathlib import Path

import numpy as np
import sanafe

from deploy.backends.sanafe.chip import load_architecture, loihi


def replay(path: Path, source: Path, target: Path) -> None:
    """Run all samples, each from rest."""
    with np.load(source) as file:
        spikes, cores, group = file["spikes"], int(file["cores"]), str(file["input"])
    architecture = load_architecture(loihi(cores))
    chip = sanafe.SpikingChip(architecture)
    chip.load(sanafe.load_net(str(path), architecture))
    inputs = chip.mapped_neuron_groups[group]
    groups = sorted(chip.mapped_neuron_groups)
    numbers = {name: number for number, name in enumerate(groups)}
    events = []
    for sample, trains in enumerate(spikes):
        chip.reset()
        for neuron, train in zip(inputs, trains.T.tolist(), strict=True):
            neuron.set_attributes(model_attributes={"spikes": train})
        found = chip.sim(len(trains), spike_trace=True, timing_model="simple", processing_threads=1)
        events += [
            (sample, step, numbers[spike.group_name], spike.neuron_offset)
            for step, trace in enumerate(found["spike_trace"])
            for spike in trace
        ]
    np.savez(target, events=np.array(events, np.int64).reshape(-1, 4), groups=np.array(groups))


if __name__ == "__main__":
    replay(*map(Path, sys.argv[1:]))
