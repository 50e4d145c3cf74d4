"""Leaky integrate-and-fire neurons: Norse's LIFBox, and the same function with its loop over time fused.

Kernels are imported where they run: Numba takes a quarter of a second, which those who only export need not spend.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from training.model.threads import in_threads, shares

if TYPE_CHECKING:
    from norse.torch.functional.lif_box import LIFBoxParameters

THRESHOLD = 0.5
"""Membrane potential above which a neuron spikes, in units of the float network."""
DECAY = 0.5
"""dt / tau: the share of the distance to its input that the membrane potential covers in one time step."""

_DT = 1e-3


def norse_parameters() -> "LIFBoxParameters":
    """The neuron in Norse's terms."""
    # Norse imports Matplotlib, half a second that exporting and deploying need not spend: neither steps this cell.
    from norse.torch.functional.lif_box import LIFBoxParameters

    return LIFBoxParameters(
        tau_mem_inv=torch.tensor(DECAY / _DT),
        v_leak=torch.tensor(0.0),
        v_th=torch.tensor(THRESHOLD),
        v_reset=torch.tensor(0.0),
        method="super",
        alpha=torch.tensor(1.0),  # Norse 1.1.0 ignores the slope: its SuperSpike gradient is 1 / (|v - theta| + 1)^2
    )


def lif_loop(current: Tensor) -> tuple[Tensor, Tensor]:
    """Norse's LIFBox cell, step by step: the plain version, kept as the oracle of ``lif``.

    ``v <- v + (i - v)/2; s = [v > theta]; v <- (1 - s) v``

    Args:
        current: input of each step, shape (T, ...).

    Returns:
        Spikes and membrane potentials before the reset, both of shape (T, ...).
    """
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, lif_box_feed_forward_step

    parameters, state = norse_parameters(), LIFBoxFeedForwardState(v=torch.zeros_like(current[0]))
    spikes, potentials = [], []
    for step in current:
        potentials.append(state.v + DECAY * (step - state.v))
        spike, state = lif_box_feed_forward_step(step, state, parameters, _DT)
        spikes.append(spike)
    return torch.stack(spikes), torch.stack(potentials)


class _Lif(torch.autograd.Function):
    """``lif_loop`` in one node of the autograd graph. Potentials are computed anew in the backward pass, not kept."""

    @staticmethod
    def forward(ctx: Any, current: Tensor) -> Tensor:
        current = current.contiguous()
        ctx.save_for_backward(current)
        if current.device.type == "cpu":
            from training.model import lif_kernels

            return on_cores(lif_kernels.spikes, current)
        return _potentials(current).gt(THRESHOLD).to(current.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (current,) = ctx.saved_tensors
        (gradient,) = gradients
        if current.device.type == "cpu":
            from training.model import lif_kernels

            return on_cores(lif_kernels.gradient, current, gradient.contiguous())
        return _gradient(_potentials(current), gradient)


class _WithPotentials(torch.autograd.Function):
    """``lif_loop`` in one node of the autograd graph, the potentials kept."""

    @staticmethod
    def forward(ctx: Any, current: Tensor) -> tuple[Tensor, Tensor]:
        potentials = _potentials(current)
        ctx.save_for_backward(potentials)
        return potentials.gt(THRESHOLD).to(current.dtype), potentials

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (potentials,) = ctx.saved_tensors
        return _gradient(potentials, *gradients)


def _potentials(current: Tensor) -> Tensor:
    potential = torch.empty_like(current)
    v = torch.zeros_like(current[0])
    for t in range(len(current)):
        torch.add(v, current[t], out=potential[t]).mul_(DECAY)
        torch.mul(potential[t], potential[t] <= THRESHOLD, out=v)
    return potential


def _gradient(potential: Tensor, gradient: Tensor, of_potential: Tensor | None = None) -> Tensor:
    """See ``lif_kernels.gradient`` for the derivation; a gradient of the potentials adds to dL/dv_t."""
    surrogate = potential.sub(THRESHOLD).abs_().add_(1.0).pow_(-2)
    result = torch.empty_like(potential)
    carry = torch.zeros_like(potential[0])
    for t in reversed(range(len(potential))):
        out = torch.mul(carry, potential[t], out=result[t])
        torch.sub(gradient[t], out, out=out).mul_(surrogate[t])
        if of_potential is not None:
            out += of_potential[t]
        carry = out.addcmul_(carry, (potential[t] <= THRESHOLD).to(out.dtype)).mul_(DECAY)
    return result


def neuron(like: Tensor) -> tuple[Any, Any]:
    """Threshold and decay in the precision of ``like``, for compiled kernels."""
    scalar = torch.empty(0, dtype=like.dtype).numpy().dtype.type
    return scalar(THRESHOLD), scalar(DECAY)


def on_cores(kernel: Callable[..., None], *inputs: Tensor) -> Tensor:
    """Let ``kernel`` write a result of the inputs' shape, the neurons shared out among torch's threads."""
    result = torch.empty_like(inputs[0])
    arrays = [tensor.detach().reshape(len(tensor), -1).numpy() for tensor in (*inputs, result)]
    in_threads(lambda part: kernel(*arrays, *part, *neuron(result)), shares(arrays[0].shape[1], len(arrays[0])))
    return result


def lif(current: Tensor) -> Tensor:
    """Spikes of LIF neurons driven by ``current``, shape (T, ...); equal to ``lif_loop`` in values and gradients.

    Maps (T, B, C, H, W) come out with channels last in memory, whatever they came in: what convolutions want next.
    """
    if current.dim() == 5:
        maps: Tensor = _Lif.apply(current.movedim(2, -1))  # type: ignore[no-untyped-call]
        return maps.movedim(-1, 2)
    result: Tensor = _Lif.apply(current)  # type: ignore[no-untyped-call]
    return result


class Lif(nn.Module):
    """A population of LIF neurons; state starts at zero in every window. Input and output: (T, ...)."""

    def forward(self, current: Tensor) -> Tensor:
        """Currents in, of any shape (T, ...) or (T, B, C, H, W); the same shape out."""
        return lif(current)


class LifWithPotentials(nn.Module):
    """LIF neurons whose membrane potentials are of use, too; few of them, as hash neurons are."""

    def forward(self, current: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes and potentials before the reset, both (T, ...); ``lif_loop`` in values and gradients."""
        result: tuple[Tensor, Tensor] = _WithPotentials.apply(current)  # type: ignore[no-untyped-call]
        return result
