"""Leaky integrate-and-fire neurons: Norse's LIFBox, and the same function with its loop over time fused."""

from typing import Any

import torch
from norse.torch.functional.lif_box import (
    LIFBoxFeedForwardState,
    LIFBoxParameters,
    lif_box_feed_forward_step,
)
from torch import Tensor, nn

THRESHOLD = 0.5
"""Membrane potential above which a neuron spikes, in units of the float network."""
DECAY = 0.5
"""dt / tau: the share of the distance to its input that the membrane potential covers in one time step."""

_DT = 1e-3
PARAMETERS = LIFBoxParameters(
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
    state = LIFBoxFeedForwardState(v=torch.zeros_like(current[0]))
    spikes, potentials = [], []
    for step in current:
        potentials.append(state.v + DECAY * (step - state.v))
        spike, state = lif_box_feed_forward_step(step, state, PARAMETERS, _DT)
        spikes.append(spike)
    return torch.stack(spikes), torch.stack(potentials)


class _Lif(torch.autograd.Function):
    """``lif_loop`` in one node of the autograd graph, with in-place arithmetic."""

    @staticmethod
    def forward(ctx: Any, current: Tensor) -> Tensor:
        potential = torch.empty_like(current)
        spikes = torch.empty_like(current)
        v = torch.zeros_like(current[0])
        for t in range(len(current)):
            torch.add(v, current[t], out=potential[t]).mul_(DECAY)
            torch.gt(potential[t], THRESHOLD, out=spikes[t])
            torch.mul(potential[t], potential[t] <= THRESHOLD, out=v)
        ctx.save_for_backward(potential, spikes)
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Reverse mode of v_t = (r_{t-1} + i_t)/2, s_t = H(v_t - theta), r_t = (1 - s_t) v_t. With e_t = dL/dr_t:
        # dL/dv_t = (g_t - e_t v_t) H'(v_t - theta) + e_t (1 - s_t). H' is the SuperSpike derivative
        # 1 / (|v - theta| + 1)^2 (Zenke & Ganguli 2018, section 3.3.2).
        potential, spikes = ctx.saved_tensors
        (gradient,) = gradients
        surrogate = potential.sub(THRESHOLD).abs_().add_(1.0).pow_(-2)
        result = torch.empty_like(potential)
        carry = torch.zeros_like(potential[0])
        for t in reversed(range(len(potential))):
            out = torch.mul(carry, potential[t], out=result[t])
            torch.sub(gradient[t], out, out=out).mul_(surrogate[t])
            out.addcmul_(carry, 1.0 - spikes[t]).mul_(DECAY)
            carry = result[t]
        return result


def lif(current: Tensor) -> Tensor:
    """Spikes of LIF neurons driven by ``current``, shape (T, ...); equal to ``lif_loop`` in values and gradients."""
    result: Tensor = _Lif.apply(current)  # type: ignore[no-untyped-call]
    return result


class Lif(nn.Module):
    """A population of LIF neurons; state starts at zero in every window. Input and output: (T, ...)."""

    def forward(self, current: Tensor) -> Tensor:
        """Currents in, of any shape (T, ...) or (T, B, C, H, W); the same shape out."""
        return lif(current)
