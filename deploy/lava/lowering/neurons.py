"""NIR neurons as discrete dynamics, by the forward Euler step of NIR's equations.

Pedersen et al. 2024, "Neuromorphic intermediate representation", doi 10.1038/s41467-024-52259-9.
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import nir
import numpy as np

from deploy.lava.network import Array


@dataclass(frozen=True)
class Dynamics:
    """``v <- (1 - decay) v + gain * i + drive``; spikes where ``v > threshold``, then ``v <- reset``.

    Without ``spiking`` the neuron emits v and never resets. Every field is an array (neurons,).
    """

    decay: Array
    gain: Array
    drive: Array
    threshold: Array
    reset: Array
    spiking: bool = True


@singledispatch
def dynamics(node: nir.NIRNode, dt: float) -> Dynamics:
    """The discrete dynamics of a neuron node with time step ``dt`` in seconds.

    Raises:
        TypeError: the node is no neuron that Lava can run in floating point.
    """
    raise TypeError(f"Lava has no {type(node).__name__}")


@dynamics.register
def _lif(node: nir.LIF, dt: float) -> Dynamics:
    """``v <- v + dt/tau (v_leak - v + r i)``."""
    decay = dt / _flat(node.tau)
    leak = decay * _flat(node.v_leak)
    return Dynamics(decay, decay * _flat(node.r), leak, _flat(node.v_threshold), _flat(node.v_reset))


@dynamics.register
def _if(node: nir.IF, dt: float) -> Dynamics:
    """``v <- v + dt r i``."""
    gain = dt * _flat(node.r)
    return Dynamics(np.zeros_like(gain), gain, np.zeros_like(gain), _flat(node.v_threshold), _flat(node.v_reset))


@dynamics.register
def _li(node: nir.LI, dt: float) -> Dynamics:
    """``v <- v + dt/tau (v_leak - v + r i)``, emitted as it is."""
    decay = dt / _flat(node.tau)
    leak = decay * _flat(node.v_leak)
    never = np.full_like(decay, np.inf)
    return Dynamics(decay, decay * _flat(node.r), leak, never, np.zeros_like(decay), spiking=False)


@dynamics.register
def _threshold(node: nir.Threshold, dt: float) -> Dynamics:
    """A neuron that forgets everything in each step: ``v <- i``."""
    threshold = _flat(node.threshold)
    ones, zeros = np.ones_like(threshold), np.zeros_like(threshold)
    return Dynamics(ones, ones, zeros, threshold, zeros)


def _flat(values: Any) -> Array:
    return np.asarray(values, np.float64).ravel()
