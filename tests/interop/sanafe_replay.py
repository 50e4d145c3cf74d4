"""Spikes of a placed network on SANA-FE's Loihi; runs in the environment of foreign simulators.

``python sanafe_replay.py IN.npz OUT.json``. ``IN.npz`` holds ``core`` (neurons,), the core of each neuron, -1 for
inputs; ``raster`` (steps, neurons), the spikes; ``source`` and ``target`` (synapses,), numbers of neurons; ``first``,
the first core that is free for the inputs, whose neurons cost nothing in this architecture.

Every neuron emits its recorded spikes, at the price and in the time of the architecture's neuron: what arrives there is
counted and changes nothing.
"""

import json
import sys
from pathlib import Path

import numpy as np
import sanafe

from deploy.backends.sanafe.chip import ARCHITECTURE, load_architecture

PER_CORE = 1024
SOMA = "name: loihi_lif\n"


def replaying(text: str) -> str:
    """The architecture with one replaying unit per neuron in place of its neuron model: same energies, same times."""
    text = text.replace(SOMA, f"name: loihi_lif[0..{PER_CORE - 1}]\n")
    return text.replace("model: leaky_integrate_fire", "model: input")


def chip_of(arrays) -> sanafe.SpikingChip:
    architecture = load_architecture(replaying(ARCHITECTURE.read_text()))
    network, cores, core = sanafe.Network(), architecture.cores(), arrays["core"]
    group = network.create_neuron_group("all", len(core), default_synapse_hw_name="loihi_dense_synapse")
    held = dict.fromkeys(range(len(cores)), 0)
    free = int(arrays["first"])
    for neuron, number in enumerate(core.tolist()):
        unit = "loihi_lif" if number >= 0 else "loihi_inputs"
        while number < 0 and held[free] == PER_CORE:
            free += 1
        home = number if number >= 0 else free
        spikes = arrays["raster"][:, neuron].astype(bool).tolist()
        group[neuron].set_attributes(soma_hw_name=f"{unit}[{held[home]}]", model_attributes={"spikes": spikes})
        group[neuron].map_to_core(cores[home])
        held[home] += 1
    pairs = list(zip(arrays["source"].tolist(), arrays["target"].tolist(), strict=True))
    group.connect_neurons_sparse(group, {"weight": [0.0] * len(pairs)}, pairs)
    chip = sanafe.SpikingChip(architecture)
    chip.load(network)
    return chip


if __name__ == "__main__":
    with np.load(sys.argv[1]) as file:
        held_arrays = dict(file)
    found = chip_of(held_arrays).sim(len(held_arrays["raster"]), perf_trace=True)
    kept = {
        key: found[key] for key in ("energy", "sim_time", "spikes", "packets_sent", "neurons_fired", "neurons_updated")
    }
    kept["hops"] = sum(found["perf_trace"]["hops"])
    kept["step_times"] = found["perf_trace"]["sim_time"]
    Path(sys.argv[2]).write_text(json.dumps(kept))
