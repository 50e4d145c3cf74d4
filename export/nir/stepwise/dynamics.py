"""NIR neurons as discrete dynamics, by the forward Euler step of NIR's equations.

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


@dynamics.register
def _lif(node: nir.LIF, dt: float) -> Dynamics:
    """``v <- v + dt/tau (v_leak - v + r i)``."""
    decay = _rate(node, "tau", dt)
    return Dynamics(
        decay, decay * _flat(node.r), decay * _flat(node.v_leak), _flat(node.v_threshold), _flat(node.v_reset)
    )


@dynamics.register
def _li(node: nir.LI, dt: float) -> Dynamics:
    """As LIF, but v is emitted."""
    decay = _rate(node, "tau", dt)
    return _integrator(decay, decay * _flat(node.r), decay * _flat(node.v_leak))


@dynamics.register
def _if(node: nir.IF, dt: float) -> Dynamics:
    """``v <- v + dt r i``."""
    gain = dt * _flat(node.r)
    zeros = np.zeros_like(gain)
    return Dynamics(zeros, gain, zeros, _flat(node.v_threshold), _flat(node.v_reset))


@dynamics.register
def _i(node: nir.I, dt: float) -> Dynamics:
    """As IF, but v is emitted."""
    gain = dt * _flat(node.r)
    return _integrator(np.zeros_like(gain), gain, np.zeros_like(gain))


@dynamics.register
def _cuba_lif(node: nir.CubaLIF, dt: float) -> Dynamics:
    """``I <- I + dt/tau_syn (w_in i - I)``, then ``v <- v + dt/tau_mem (v_leak - v + r I)`` with the new current.

    Scaled to ``u = dt/tau_mem r I``. Norse, snnTorch, SpikingJelly and sc-neurocore update in the same order.
    """
    current_decay, decay, gain, drive = _cuba(node, dt)
    return Dynamics(decay, gain, drive, _flat(node.v_threshold), _flat(node.v_reset), current_decay)


@dynamics.register
def _cuba_li(node: nir.CubaLI, dt: float) -> Dynamics:
    """As CubaLIF, but v is emitted."""
    current_decay, decay, gain, drive = _cuba(node, dt)
    return _integrator(decay, gain, drive, current_decay)


@dynamics.register
def _threshold(node: nir.Threshold, dt: float) -> Dynamics:
    """A neuron that forgets everything in each step: ``v <- i``."""
    threshold = _flat(node.threshold)
    ones, zeros = np.ones_like(threshold), np.zeros_like(threshold)
    return Dynamics(ones, ones, zeros, threshold, zeros)


def _cuba(node: nir.CubaLIF | nir.CubaLI, dt: float) -> tuple[Array, Array, Array, Array]:
    """``current_decay``, ``decay``, ``gain`` and ``drive``."""
    current_decay, decay = _rate(node, "tau_syn", dt), _rate(node, "tau_mem", dt)
    gain = decay * _flat(node.r) * (current_decay * _flat(node.w_in))
    return current_decay, decay, gain, decay * _flat(node.v_leak)


def _integrator(decay: Array, gain: Array, drive: Array, current_decay: Array | None = None) -> Dynamics:
    never = np.full_like(decay, np.inf)
    return Dynamics(decay, gain, drive, never, np.zeros_like(decay), current_decay, spiking=False)


def relay_dynamics(neurons: int) -> Dynamics:
    """Neurons that pass on what arrives: ``v <- i``, emitted."""
    return _integrator(np.ones(neurons), np.ones(neurons), np.zeros(neurons))


def _rate(node: nir.NIRNode, name: str, dt: float) -> Array:
    """``dt`` over a time constant."""
    tau = _flat(getattr(node, name))
    if not np.all(tau > 0):
        raise ValueError(f"{name} is {np.min(tau):g} s: a time constant must be positive")
    return dt / tau


def _flat(values: Any) -> Array:
    return np.asarray(values, np.float64).ravel()
