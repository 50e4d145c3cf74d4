"""A small network of a foreign tool, written by the tool's own exporter and run by the tool itself.

``python foreign_exports.py TOOL IN.npz OUT.nir OUT.npz`` reads ``spikes`` (samples, steps, inputs) and the weights
``first`` and ``second``, and writes the ``spikes`` that the tool's network sends, (samples, steps, outputs).
Resets are hard: NIR has no other.
"""

import sys
import types

import nir
import numpy as np
import torch


def linear(kind, weight):
    layer = kind(weight.shape[1], weight.shape[0], bias=True)
    layer.weight.data = torch.from_numpy(weight)
    layer.bias.data = torch.linspace(-0.05, 0.1, len(weight))
    return layer


def norse(first, second, spikes):
    import norse.torch as tool

    def full(value):
        return torch.full((len(first),), value)

    leaky = tool.LIFBoxCell(tool.LIFBoxParameters(tau_mem_inv=full(400.0), v_th=full(0.3), v_leak=full(0.0)))
    whole = tool.IAFCell(tool.IAFParameters(v_th=torch.full((len(second),), 1.1)))
    network = tool.SequentialState(linear(torch.nn.Linear, first), leaky, linear(torch.nn.Linear, second), whole)
    sent, state = [], None
    for frame in spikes.unbind(1):
        out, state = network(frame, state)
        sent.append(out)
    return tool.to_nir(network, spikes[:1, 0]), torch.stack(sent, 1)


def snntorch(first, second, spikes):
    import snntorch as tool
    from snntorch.export_nir import export_to_nir

    def leaky(size, beta, **options):
        beta, threshold = torch.full((size,), beta), torch.full((size,), 0.7)
        return tool.Leaky(beta, threshold, init_hidden=True, reset_mechanism="zero", **options)

    network = torch.nn.Sequential(
        linear(torch.nn.Linear, first), leaky(len(first), 0.6), linear(torch.nn.Linear, second), leaky(len(second), 0.8)
    )
    sent = torch.stack([network(frame) for frame in spikes.unbind(1)], 1)
    return export_to_nir(network, spikes[0, 0]), sent


def spikingjelly(first, second, spikes):
    from spikingjelly.activation_based import layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    network = torch.nn.Sequential(
        linear(layer.Linear, first),
        neuron.LIFNode(tau=3.0, decay_input=False, v_threshold=0.7, v_reset=0.0),
        linear(layer.Linear, second),
        neuron.IFNode(v_threshold=1.1, v_reset=0.0),
    )
    sent = torch.stack([network(frame) for frame in spikes.unbind(1)], 1)
    return export_to_nir(network, spikes[:1, 0]), sent


def sinabs(first, second, spikes):
    sys.modules["pylab"] = types.ModuleType("pylab")  # of matplotlib, for plots that nobody draws here
    from sinabs import layers
    from sinabs.activation import MembraneReset, SingleSpike
    from sinabs.nir import to_nir

    samples, steps, _ = spikes.shape
    settings = {"spike_fn": SingleSpike, "reset_fn": MembraneReset(), "batch_size": samples}
    threshold = torch.full((len(first),), 0.7)
    tau = torch.full((len(first),), 3.0)
    leaky = layers.LIFSqueeze(tau_mem=tau, spike_threshold=threshold, norm_input=False, **settings)
    whole = layers.IAFSqueeze(spike_threshold=torch.tensor(1.1), **settings)
    network = torch.nn.Sequential(linear(torch.nn.Linear, first), leaky, linear(torch.nn.Linear, second), whole)
    in_a_row = spikes.flatten(0, 1)
    sent = network(in_a_row).unflatten(0, (samples, steps))
    return to_nir(network, in_a_row), sent


if __name__ == "__main__":
    tool, source, graph_path, target = sys.argv[1:]
    with np.load(source) as given:
        parts = [given[name].astype(np.float32) for name in ("first", "second")]
        spikes = torch.from_numpy(given["spikes"])
    with torch.no_grad():
        graph, sent = globals()[tool](*parts, spikes)
    nir.write(graph_path, graph)
    np.savez(target, spikes=sent.numpy())
