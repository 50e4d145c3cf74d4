"""Machines that run in time steps: every hop takes one, so that a recording also fills and drains the pipeline.

On them a spike that is sent in one step is received in the next, while an edge of a NIR graph takes no time. A
population therefore lags behind the graph's own time, and step t of the graph is the machine's ``lag + t * pace``: the
schedule that the Lava backend runs (``export.synaptic.schedule``).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.energy.amounts import Amount
from deploy.energy.latency import Latency
from export.synaptic.counts import NetworkCounts
from hardware_profiles.prices import weakest
from hardware_profiles.terms import Execution, Kind

STEPPED: tuple[Execution, ...] = ("timestep_barrier", "fixed_tick")


def billed_steps(counts: NetworkCounts, execution: Execution) -> int:
    """Time steps in which the neurons of a network are updated for one recording."""
    return counts.machine_steps if execution in STEPPED else counts.steps


def activity(counts: NetworkCounts) -> NDArray[np.float64]:
    """(machine steps, populations) share of each population's events in each step.

    Its events follow its spikes; where these are not known step by step, they are spread evenly over the recording.
    """
    parts = np.zeros((counts.machine_steps, len(counts.layers)))
    for index, layer in enumerate(counts.layers):
        first = min(layer.lag, counts.depth)
        spikes = (
            np.ones(counts.steps) if layer.step_spikes is None or not layer.step_spikes.any() else layer.step_spikes
        )
        parts[first : first + counts.pace * counts.steps : counts.pace, index] = spikes / spikes.sum()
    return parts


def latency_of(
    lengths: Sequence[Amount], counts: NetworkCounts, kinds: Sequence[Kind], untimed: Sequence[str] = (), note: str = ""
) -> Latency:
    """From the length of every machine step, (3, samples) seconds: the code is there after the last one.

    The window ends where the last frame enters.
    """
    times = np.stack(list(lengths))
    response = times[counts.pace * (counts.time_steps - 1) :].sum(axis=0)
    notes = "; ".join(text for text in (steps_text(counts), note) if text)
    return Latency(times.sum(axis=0), response, weakest(kinds), tuple(untimed), note=notes, steps=len(times))


def steps_text(counts: NetworkCounts) -> str:
    """``40 steps: 8 + 32 to fill and drain``; nothing where the window is all."""
    steps, window = counts.machine_steps, counts.time_steps
    return f"{steps} steps: {window} + {steps - window} to fill and drain" if steps > window else ""
