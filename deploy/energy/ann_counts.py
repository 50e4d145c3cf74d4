"""Multiply-accumulates of an ANN that its zeros leave: counted exactly in torch, or estimated from shares of zeros.

An effective multiply-accumulate has a weight and an activation that are both not zero; taps on the padding do not
exist. What an accelerator saves by skipping zero activations is the difference to the dense count.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikinghash.errors import GraphError

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""What is counted. Products of two activations, pooling and normalisation are not."""


class DenseLayer(Protocol):
    """A layer whose dense work is known."""

    @property
    def name(self) -> str:
        """Name of the layer."""

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates per code."""


@dataclass(frozen=True)
class SparseWork:
    """Dense work of a layer, and what is left where multiplications by a zero activation are skipped."""

    name: str
    dense_macs: int
    zero_share: float
    """Of the activations that the layer reads."""

    @property
    def effective_macs(self) -> float:
        """As if zeros were spread evenly over the activations, so that each saves as many multiplications."""
        return self.dense_macs * (1 - self.zero_share)


@dataclass(frozen=True)
class AnnLayerCounts:
    """One layer over a set of inputs. Arrays have shape (samples,)."""

    name: str
    kind: str
    weights: int
    """Stored and not zero."""
    outputs: int
    """Activations written per sample."""
    dense_macs: int
    """Per sample: every tap counts, those on the padding and those with a zero weight too."""
    effective_macs: NDArray[np.float64]
    zero_share: NDArray[np.float64]
    """Of the activations read."""
    binary: bool
    """Whether every activation read was 0 or 1: its multiply-accumulates are then accumulates."""


def effective_work(layers: Iterable[DenseLayer], zero_shares: Mapping[str, float]) -> list[SparseWork]:
    """Work of ``layers`` under measured shares of zero activations; a layer without a share stays dense.

    Raises:
        GraphError: a share lies outside 0 to 1, or names no layer.
    """
    listed = list(layers)
    unknown = set(zero_shares) - {layer.name for layer in listed}
    if unknown:
        raise GraphError(f"zero shares: {min(unknown)} is no layer of this network: use the names of its layers")
    for name, share in zero_shares.items():
        if not 0 <= share <= 1:
            raise GraphError(f"zero shares: layer {name}: {share} is no share: use a number from 0 to 1")
    return [SparseWork(layer.name, layer.macs, zero_shares.get(layer.name, 0.0)) for layer in listed]


def measure_layers(model: nn.Module, inputs: Sequence[Tensor]) -> list[AnnLayerCounts]:
    """Run ``model(*inputs)`` and count every convolution and linear layer, in the order of their first call.

    Args:
        model: any torch module; it is left as it was.
        inputs: its arguments; the first axis of what each layer reads is the sample, times any that were folded into
            it (time steps, say), which are summed.
    """
    samples = len(inputs[0])
    calls: dict[str, list[_Call]] = {}

    def hook(name: str) -> Any:
        def count(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
            calls.setdefault(name, []).append(_count(layer, arguments[0], output, samples))

        return count

    handles = [
        layer.register_forward_hook(hook(name)) for name, layer in model.named_modules() if isinstance(layer, LAYERS)
    ]
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    modules = dict(model.named_modules())
    return [_summary(name, modules[name], each) for name, each in calls.items()]


@dataclass(frozen=True)
class _Call:
    dense: int
    outputs: int
    effective: NDArray[np.float64]
    zeros: NDArray[np.float64]
    read: int
    binary: bool


def _count(layer: nn.Module, read: Tensor, written: Tensor, samples: int) -> _Call:
    """One call. The effective work of a layer is its response where weights and activations that are not zero are 1."""
    weights = cast(Tensor, layer.weight)
    present, weight = (read != 0).double(), (weights != 0).double()
    if isinstance(layer, nn.Linear):
        effective = torch.nn.functional.linear(present, weight)
    else:
        effective = layer._conv_forward(present, weight, None)  # type: ignore[operator]
    return _Call(
        dense=written.numel() // samples * weights[0].numel(),
        outputs=written.numel() // samples,
        effective=effective.reshape(samples, -1).sum(dim=1).numpy(),
        zeros=(1 - present).reshape(samples, -1).sum(dim=1).numpy(),
        read=read.numel() // samples,
        binary=bool(((read == 0) | (read == 1)).all()),
    )


def _summary(name: str, layer: nn.Module, calls: Sequence[_Call]) -> AnnLayerCounts:
    return AnnLayerCounts(
        name=name,
        kind=type(layer).__name__,
        weights=int(torch.count_nonzero(cast(Tensor, layer.weight))),
        outputs=sum(call.outputs for call in calls),
        dense_macs=sum(call.dense for call in calls),
        effective_macs=np.sum([call.effective for call in calls], axis=0),
        zero_share=np.sum([call.zeros for call in calls], axis=0) / sum(call.read for call in calls),
        binary=all(call.binary for call in calls),
    )
