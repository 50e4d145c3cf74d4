"""Operations of layers as NeuroBench and SpikingJelly count them; runs in the environment of foreign simulators.

``python foreign_counters.py IN.npz`` prints JSON. ``IN.npz`` holds arrays ``LAYER/weight`` and ``LAYER/input``
(N, ...), for convolutions ``LAYER/geometry`` (stride, padding, groups), and the order of an ANN's layers in ``order``.
"""

import json
import sys

import numpy as np
import torch
from neurobench.metrics.utils.layers import single_layer_MACs
from neurobench.metrics.workload import SynapticOperations
from neurobench.models import TorchModel
from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter


def module(arrays, name: str) -> torch.nn.Module:
    weight = torch.from_numpy(arrays[f"{name}/weight"])
    if weight.ndim == 2:
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    else:
        stride, padding, groups = (int(value) for value in arrays[f"{name}/geometry"])
        shape = (weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]))
        layer = torch.nn.Conv2d(*shape, stride=stride, padding=padding, groups=groups, bias=False)
    layer.weight.data = weight
    return layer


def layer_counts(arrays, name: str) -> dict[str, int]:
    layer, inputs = module(arrays, name), torch.from_numpy(arrays[f"{name}/input"])
    synops = SynOpCounter()
    with torch.no_grad(), DispatchCounterMode([synops]):
        layer(inputs)
    with torch.no_grad():
        effective, spiking = single_layer_MACs(inputs, layer)
        dense, _ = single_layer_MACs(inputs, layer, total=True)
    return {"neurobench": effective, "neurobench_dense": dense, "binary": spiking, "spikingjelly": synops.get_total()}


def network_counts(arrays) -> dict[str, float]:
    """Effective operations per sample of the layers one after the other, with ReLU between them."""
    parts: list[torch.nn.Module] = []
    for name in arrays["order"]:
        layer = module(arrays, str(name))
        if isinstance(layer, torch.nn.Linear):
            parts.append(torch.nn.Flatten())
        parts += [layer, torch.nn.ReLU()]
    model = TorchModel(torch.nn.Sequential(*parts))
    model.register_hooks()
    inputs = torch.from_numpy(arrays["input"])
    with torch.no_grad():
        return SynapticOperations()(model, model(inputs), (inputs, None))


if __name__ == "__main__":
    with np.load(sys.argv[1]) as file:
        held = dict(file)
    names = sorted({key.partition("/")[0] for key in held if key.endswith("/input")})
    found = {"layers": {name: layer_counts(held, name) for name in names}}
    if "order" in held:
        found["network"] = network_counts(held)
    print(json.dumps(found))
