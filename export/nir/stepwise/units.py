"""Nodes with a state, stepped for a batch of samples; all arrays have shape (neurons, samples).

No array that arrived or was emitted is written to later: others may hold it.
"""

from collections import deque
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
    """Delay: the last arrays that arrived, each neuron reading at its own lag; zero before the start."""

    v = None

    def __init__(self, lags: NDArray[np.int64], samples: int) -> None:
        self.lags = {int(lag): np.flatnonzero(lags == lag) for lag in np.unique(lags)}
        silence, length = np.zeros((len(lags), samples)), max(self.lags, default=0) + 1
        self.arrived = deque([silence] * length, length)

    def advance(self, current: Array) -> Array:
        """What arrived as many steps ago as the delay is long."""
        self.arrived.appendleft(current)
        if len(self.lags) == 1:
            return self.arrived[-1]
        delayed = np.empty_like(current)
        for lag, rows in self.lags.items():
            delayed[rows] = self.arrived[lag][rows]
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
    """A value per neuron, or one where all are alike: NumPy walks through that twice as fast."""
    column = np.asarray(values, float).reshape(-1, 1)
    return column[:1] if (column == column[:1]).all() else column
