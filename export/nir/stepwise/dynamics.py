"""NIR neurons as discrete dynamics, by the forward Euler step of NIR's equations, and delays in whole time steps.

Pedersen et al. 2024, "Neuromorphic intermediate representation", doi 10.1038/s41467-024-52259-9. A neuron spikes where
``v > v_threshold`` and is then set to ``v_reset``. At the start v, and the synaptic current of a CubaLIF, is 0.
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NEURONS = (nir.LIF, nir.IF, nir.LI, nir.I, nir.CubaLIF, nir.CubaLI, nir.Threshold)
"""Nodes with dynamics: what ``dynamics`` takes."""


@dataclass(frozen=True)
class Dynamics:
    """``u <- (1 - current_decay) u + gain i``, ``v <- (1 - decay) v + u + drive``; spikes where ``v > threshold``.

    Then ``v <- reset``. Without ``spiking`` the neuron emits v and never resets. Every field is an array (neurons,);
    ``current_decay`` is None where the input acts at once, ``u = gain i``.
    """

    decay: Array
    gain: Array
    drive: Array
    threshold: Array
    reset: Array
    current_decay: Array | None = None
    spiking: bool = True


@singledispatch
def dynamics(node: nir.NIRNode, dt: float) -> Dynamics:
    """The discrete dynamics of a neuron node with time step ``dt`` in seconds.

    Raises:
        TypeError: the node is no neuron.
        ValueError: a time constant is not positive.
    """
    raise TypeError(f"a {type(node).__name__} is no neuron")


@dynamics.register(nir.LIF)
@dynamics.register(nir.LI)
def _leaky(node: nir.LIF | nir.LI, dt: float) -> Dynamics:
    """``v <- v + dt/tau (v_leak - v + r i)``."""
    decay = _rate(node, "tau", dt)
    return _neuron(node, decay, decay * _flat(node.r), decay * _flat(node.v_leak))


@dynamics.register(nir.IF)
@dynamics.register(nir.I)
def _without_leak(node: nir.IF | nir.I, dt: float) -> Dynamics:
    """``v <- v + dt r i``."""
    gain = dt * _flat(node.r)
    return _neuron(node, np.zeros_like(gain), gain, np.zeros_like(gain))


@dynamics.register(nir.CubaLIF)
@dynamics.register(nir.CubaLI)
def _cuba(node: nir.CubaLIF | nir.CubaLI, dt: float) -> Dynamics:
    """``I <- I + dt/tau_syn (w_in i - I)``, then ``v <- v + dt/tau_mem (v_leak - v + r I)`` with the new current.

    Scaled to ``u = dt/tau_mem r I``. Norse, snnTorch, SpikingJelly and sc-neurocore update in the same order.
    """
    current_decay, decay = _rate(node, "tau_syn", dt), _rate(node, "tau_mem", dt)
    gain = decay * _flat(node.r) * (current_decay * _flat(node.w_in))
    return _neuron(node, decay, gain, decay * _flat(node.v_leak), current_decay)


@dynamics.register
def _threshold(node: nir.Threshold, dt: float) -> Dynamics:
    """A neuron that forgets everything in each step: ``v <- i``."""
    threshold = _flat(node.threshold)
    ones, zeros = np.ones_like(threshold), np.zeros_like(threshold)
    return Dynamics(ones, ones, zeros, threshold, zeros)


def _neuron(node: nir.NIRNode, decay: Array, gain: Array, drive: Array, current_decay: Array | None = None) -> Dynamics:
    """A neuron that spikes, or, where ``node`` has no threshold, emits v."""
    if not hasattr(node, "v_threshold"):
        return _integrator(decay, gain, drive, current_decay)
    return Dynamics(decay, gain, drive, _flat(node.v_threshold), _flat(node.v_reset), current_decay)


def _integrator(decay: Array, gain: Array, drive: Array, current_decay: Array | None = None) -> Dynamics:
    never = np.full_like(decay, np.inf)
    return Dynamics(decay, gain, drive, never, np.zeros_like(decay), current_decay, spiking=False)


def relay_dynamics(neurons: int) -> Dynamics:
    """Neurons that pass on what arrives: ``v <- i``, emitted."""
    return _integrator(np.ones(neurons), np.ones(neurons), np.zeros(neurons))


def delay_steps(node: nir.Delay, dt: float) -> npt.NDArray[np.int64]:
    """``round(delay / dt)`` of each neuron, (neurons,); ``dt`` in seconds.

    Raises:
        ValueError: a delay is negative or not finite.
    """
    delay = _flat(node.delay)
    if not np.all(np.isfinite(delay)):
        raise ValueError("a delay is not finite")
    if delay.min(initial=0) < 0:
        raise ValueError(f"delay {delay.min():g} s is negative")
    return np.round(delay / dt).astype(np.int64)


def _rate(node: nir.NIRNode, name: str, dt: float) -> Array:
    """``dt`` over a time constant."""
    tau = _flat(getattr(node, name))
    if not np.all(tau > 0):
        raise ValueError(f"{name} is {np.min(tau):g} s: a time constant must be positive")
    return dt / tau


def _flat(values: Any) -> Array:
    return np.asarray(values, np.float64).ravel()
