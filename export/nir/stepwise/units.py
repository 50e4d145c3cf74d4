"""Nodes with a state, stepped for a batch of samples; all arrays have shape (neurons, samples)."""

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from export.nir.stepwise.dynamics import NEURONS, Dynamics, delay_steps, dynamics

Array = NDArray[np.float64]


class NeuronUnit:
    """A neuron of any kind, see ``Dynamics``."""

    def __init__(self, rule: Dynamics, samples: int) -> None:
        self.spiking = rule.spiking
        self.keep, self.gain, self.drive = _column(1 - rule.decay), _column(rule.gain), _column(rule.drive)
        self.threshold, self.reset = _column(rule.threshold), _column(rule.reset)
        self.keep_u = None if rule.current_decay is None else _column(1 - rule.current_decay)
        self.v = np.zeros((len(rule.decay), samples))
        self.u = np.zeros((len(rule.decay), samples))

    def advance(self, current: Array) -> Array:
        """One step; spikes, or the membrane potential of an integrator."""
        u = self.gain * current
        if self.keep_u is not None:
            u = self.u = self.keep_u * self.u + u
        v = self.keep * self.v + (u + self.drive)
        if not self.spiking:
            self.v = v
            return v
        spikes = v > self.threshold
        self.v = np.where(spikes, self.reset, v)
        return spikes.astype(float)


class DelayUnit:
    """Delay: a ring buffer, each neuron reading at its own lag; zero before the start."""

    v = None

    def __init__(self, lags: NDArray[np.int64], samples: int) -> None:
        self.lags, self.rows, self.now = lags, np.arange(len(lags)), -1
        self.history = np.zeros((int(lags.max(initial=0)) + 1, len(lags), samples))

    def advance(self, current: Array) -> Array:
        """What arrived as many steps ago as the delay is long."""
        self.now = (self.now + 1) % len(self.history)
        self.history[self.now] = current
        delayed: Array = self.history[(self.now - self.lags) % len(self.history), self.rows]
        return delayed


Unit = NeuronUnit | DelayUnit
NODES_WITH_UNIT = (*NEURONS, nir.Delay)


def unit(node: nir.NIRNode, dt: float, samples: int) -> Unit:
    """A node at rest, for steps of ``dt`` seconds.

    Raises:
        ValueError: a parameter makes no sense.
    """
    if isinstance(node, nir.Delay):
        return DelayUnit(delay_steps(node, dt), samples)
    return NeuronUnit(dynamics(node, dt), samples)


def _column(values: Any) -> Array:
    return np.asarray(values, float).reshape(-1, 1)
