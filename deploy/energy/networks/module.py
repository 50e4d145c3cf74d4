"""The work of a torch module, counted while it runs: nothing is described, so nothing can be described wrongly.

Module hooks tell where the run is, a dispatch mode sees every operator of torch that computes there. Batch
normalisation behind a layer is folded: it leaves a bias and a requantisation. Activation functions and moves are free.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from deploy.energy.ann_network import AnnLayer
from training.baselines.quantised import QuantisedReLU
from training.baselines.twin import SoftmaxProduct, SpatialMixer
from training.model.wave_mixer import WaveMixer

ACTIVATIONS = (nn.ReLU, QuantisedReLU)
"""Their zeros are what an accelerator can skip."""
HAAR_AXES = {"space-time": 3, "space": 2, "time": 1}

aten = torch.ops.aten


def count_module(model: nn.Module, *inputs: Tensor) -> tuple[AnnLayer, ...]:
    """Run ``model(*inputs)``, one sample, and count its layers in the order of computation.

    A layer has the name of its module. A module that runs several times, once a time step say, is one layer.
    """
    counter = _Counter()
    handles = [handle for name, module in model.named_modules() for handle in _watch(counter, name, module)]
    try:
        with torch.no_grad(), counter:
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return tuple(counter.layers.values())


def _watch(counter: "_Counter", name: str, module: nn.Module) -> list[Any]:
    whole = next((rule for kind, rule in _WHOLE.items() if isinstance(module, kind)), None)

    def enter(*_: object) -> None:
        counter.path.append(name)
        counter.muted += whole is not None

    def leave(_: object, inputs: tuple[Tensor, ...], output: Any) -> None:
        counter.path.pop()
        if isinstance(module, ACTIVATIONS):
            counter.activations[output.untyped_storage().data_ptr()] = (name, output)
        if whole is not None:
            counter.muted -= 1
            if not counter.muted:
                weights = sum(map(counter.weights, module.parameters()))
                counter.add(replace(whole(module, inputs, output), name=name, weights=weights))

    return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: dict[str, AnnLayer] = {}
        self.path: list[str] = []
        """Names of the modules that are running, the innermost last."""
        self.muted = 0
        """Modules that are counted as a whole and are running."""
        self.stored: set[int] = set()
        """Addresses of the parameters that were counted."""
        self.activations: dict[int, tuple[str, Tensor]] = {}
        """By address: names of the activation functions that put them out, and what keeps the address taken."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        rule = _RULES.get(func.overloadpacket)
        if rule is not None and not self.muted:
            rule(self, args, result)
        return result

    def add(self, layer: AnnLayer) -> None:
        """Add a layer, or what another run of it does."""
        known = self.layers.pop(layer.name, None)
        self.layers[layer.name] = layer if known is None else _sum(known, layer)

    def beside(self, adds: int = 0, multiplies: int = 0, weights: int = 0, inputs: int = 0) -> None:
        """What is done to the outputs of the last layer."""
        name = next(reversed(self.layers))
        self.add(AnnLayer(name, 0, adds, multiplies, weights, inputs))

    def weights(self, parameter: Tensor) -> int:
        """Values of a parameter; none where it was counted before."""
        if parameter.data_ptr() in self.stored:
            return 0
        self.stored.add(parameter.data_ptr())
        return parameter.numel()

    def reader(self, read: Tensor) -> str:
        """The activation function that put out ``read``; empty if none did."""
        return self.activations.get(read.untyped_storage().data_ptr(), ("", read))[0]


def _sum(one: AnnLayer, other: AnnLayer) -> AnnLayer:
    """Work of two runs of one layer."""
    work = ("macs", "adds", "multiplies", "weights", "inputs", "outputs", "transform_adds")
    return replace(one, **{key: getattr(one, key) + getattr(other, key) for key in work})


def _linear(counter: _Counter, read: Tensor, weight: Tensor, taps: int, bias: Tensor | None, result: Tensor) -> None:
    name = counter.path[-1] if counter.path else "layer"
    outputs = result.numel()
    weights, inputs = counter.weights(weight), read.numel()
    counter.add(AnnLayer(name, outputs * taps, 0, 0, weights, inputs, outputs, reads=counter.reader(read)))
    if bias is not None:
        counter.beside(adds=outputs, multiplies=outputs, weights=counter.weights(bias))


def _convolution(counter: _Counter, args: Sequence[Any], result: Tensor) -> None:
    read, weight, bias = args[:3]
    _linear(counter, read, weight, weight[0].numel(), bias, result)


def _addmm(counter: _Counter, args: Sequence[Any], result: Tensor) -> None:
    bias, read, weight = args[:3]
    _linear(counter, read, weight, len(weight), bias, result)


def _mm(counter: _Counter, args: Sequence[Any], result: Tensor) -> None:
    read, weight = args
    _linear(counter, read, weight, len(weight), None, result)


def _batch_norm(counter: _Counter, args: Sequence[Any], result: Sequence[Tensor]) -> None:
    """Folded into the layer in front: a bias per channel, a requantisation per value."""
    values = result[0].numel()
    counter.beside(adds=values, multiplies=values, weights=counter.weights(args[1]))


def _shortcut(counter: _Counter, args: Sequence[Any], result: Tensor) -> None:
    counter.beside(adds=result.numel(), inputs=result.numel())


def _mean(counter: _Counter, args: Sequence[Any], result: Tensor) -> None:
    read, written = args[0].numel(), result.numel()
    if read > written:
        name = ".".join([*filter(None, counter.path[-1:]), "mean"])
        counter.add(AnnLayer(name, 0, read - written, 0, 0, read, written))


_RULES: dict[Any, Callable[[_Counter, Sequence[Any], Any], None]] = {
    aten.convolution: _convolution,
    aten.addmm: _addmm,
    aten.mm: _mm,
    aten.native_batch_norm: _batch_norm,
    aten.add: _shortcut,
    aten.mean: _mean,
}


def _softmax_product(_: nn.Module, inputs: Sequence[Tensor], output: Tensor) -> AnnLayer:
    """Softmax forbids the order Q (K^T V), so both products cost N^2 C per frame.

    An integer exponential takes about three multiplications and three additions (I-BERT, Kim et al. 2021,
    arXiv:2101.01321: range reduction and a polynomial of second order), its sum one addition, its normalisation one
    multiplication; the reciprocal of a row's sum is a division, about 32 shift-and-subtract steps.
    """
    queries, keys = inputs[:2]
    values, rows = output.numel(), queries[..., 0].numel()
    scores = rows * keys.shape[-2]
    return AnnLayer(
        "",
        macs=2 * scores * queries.shape[-1],
        adds=4 * scores + 32 * rows,
        multiplies=4 * scores + values,
        inputs=3 * values + scores,
        outputs=values + scores,
    )


def _wave_mixer(module: nn.Module, _: Sequence[Tensor], output: Tensor) -> AnnLayer:
    """Haar transform, one grouped 1x1x1 convolution per subband, inverse.

    The transform is critically sampled, so that the fusions of all subbands together have as many outputs as the map.
    """
    mixer = module.mixer if isinstance(module, SpatialMixer) else module
    assert isinstance(mixer, WaveMixer)
    values = output.numel()
    return AnnLayer(
        "",
        macs=values * mixer.fusion.shape[-1],
        inputs=values,
        outputs=values,
        transform_adds=haar_adds(values, mixer.levels, HAAR_AXES[mixer.wavelet]),
    )


_WHOLE: dict[type[nn.Module], Callable[[nn.Module, Sequence[Tensor], Tensor], AnnLayer]] = {
    SoftmaxProduct: _softmax_product,
    SpatialMixer: _wave_mixer,
    WaveMixer: _wave_mixer,
}
"""Modules whose work is known as a whole: their operators are compiled, or chosen by torch as it sees fit."""


def haar_adds(elements: int, levels: int, axes: int) -> int:
    """Additions of a separable Haar transform of ``elements`` values and of its inverse.

    One addition per value, axis and level; each level works on the 2^-axes part that the one before left as
    approximation. The scale factors are powers of two once both directions are taken together, hence free.
    """
    return 2 * sum(axes * (elements >> (axes * level)) for level in range(levels))
