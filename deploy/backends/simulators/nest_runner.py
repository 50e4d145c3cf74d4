"""NEST: the populations and delayed synapses of any NIR graph as its ``iaf_psc_delta`` neurons and static synapses.

NEST reads no NIR. The graph is lowered as for other machines in time steps; a step of the machine is one of NEST's, of
1 ms. A NEST neuron of time constant ``tau_m`` keeps ``exp(-1 ms / tau_m)`` of its potential; its synapses, weighted
with the neuron's gain, add to it at once. It spikes from its threshold on, NIR's above it: the next larger number is
given to it.

All samples run in one build. NEST sets the state of one neuron at a time, which takes longer than a sample. So after
each, one generator holds all neurons with a memory at their lower bound until no spike is on its way any more, and a
last pulse lifts them from there to 0, exactly: the bound is a power of two.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("PYNEST_QUIET", "1")  # read at import
import nest
import nir

from deploy.backends.simulators.recording import SimulatorRun
from export.nir.stepwise.dynamics import Dynamics
from export.synaptic.lowering import lower
from export.synaptic.populations import Population, SynapseNetwork
from export.synaptic.schedule import Schedule, schedule

MODEL = "iaf_psc_delta"
FORGETS_ALL = 1e-3
"""Time constant in ms of neurons without memory: exp(-1000) is 0 in float64."""
NEVER_FORGETS = 1e300
"""The same of neurons without a leak: exp(-1e-300) is 1."""

Array = NDArray[Any]


def run(graph: nir.NIRGraph, spikes: NDArray[np.float32], record: tuple[str, ...], threads: int = 1) -> SimulatorRun:
    """Run ``graph`` on ``spikes``, float32 (samples, steps, *input shape), and record the nodes in ``record``.

    Raises:
        GraphError: a neuron that NEST has not; the message names it.
    """
    network = lower(graph, record)
    network.check(_unlike_nest)
    simulation = _Simulation(network, spikes, frozenset(record), threads)
    runs = list(simulation.samples())
    joined = {name: np.stack([each[name] for each in runs]) for name in (network.output, *record)}
    outputs = joined.pop(network.output).astype(np.float32)
    return SimulatorRun(outputs, joined)


def _unlike_nest(population: Population) -> str | None:
    """Why NEST's neurons cannot stand for this population."""
    if population.kind == "attention":
        return "a product of signals, for which NEST has no neuron: export it with --attention gates"
    if population.rule is None:
        return None
    rule = population.rule
    if not rule.spiking:
        return "emits its potential, but a spike of NEST carries no value: use nir or lava"
    if rule.current_decay is not None:
        return "a CubaLIF, whose current NEST would let act a step later: use nir or lava"
    if np.any(rule.decay > 1):
        return f"dt/tau is {rule.decay.max():g}, but NEST's neurons keep no negative share of v: use dt <= tau"
    if np.any(rule.threshold < 0):
        return f"a threshold is {rule.threshold.min():g}: it would spike in NEST before its first step; use nir or lava"
    if np.any(rule.reset > rule.threshold):
        return "its reset potential is above its threshold, which NEST refuses: use nir or lava"
    return None


def neuron_parameters(rule: Dynamics, pace: int) -> NDArray[np.float64]:
    """What NEST calls a rule's ``tau_m`` in ms, ``V_th`` and ``V_reset``, (3, neurons).

    Between two steps of the graph ``pace`` steps of NEST pass, and a leak is spread over them.
    """
    with np.errstate(divide="ignore"):
        tau = -pace / np.log1p(-rule.decay)
    tau = np.where(rule.decay == 1, FORGETS_ALL, np.where(rule.decay == 0, NEVER_FORGETS, tau))
    return np.array([tau, np.nextafter(rule.threshold, math.inf), rule.reset])


@dataclass(frozen=True)
class Window:
    """What NEST does with its time for one sample.

    Attributes:
        active: steps until the last population has taken the last step of the sample.
        held: populations that are held at the lower bound afterwards.
        hold: steps that they are held, until no spike is on its way.
        floor: the lower bound, a power of two, negative, that no potential reaches in a sample.
    """

    active: int
    held: frozenset[str]
    hold: int
    floor: float

    @property
    def steps(self) -> int:
        """From the start of a sample to that of the next."""
        return self.active + self.hold + 2


def plan_window(network: SynapseNetwork, timing: Schedule, spikes: NDArray[np.float32]) -> Window:
    """Plan a sample. ``spikes`` are all that will run, (samples, steps, *input shape)."""
    active = timing.pace * spikes.shape[1] + max(timing.latencies.values())
    remembering = frozenset(each.name for each in network.neurons if np.any(each.dynamics.decay < 1))
    hold = _longest_echo(network, timing, remembering)
    if hold is None:  # a ring of neurons without memory may go on for ever
        remembering = frozenset(each.name for each in network.neurons)
        hold = _longest_echo(network, timing, remembering) or 0
    return Window(active, remembering, hold, -(2.0 ** math.ceil(math.log2(_largest_potential(network, spikes)) + 1)))


def _longest_echo(network: SynapseNetwork, timing: Schedule, held: frozenset[str]) -> int | None:
    """Steps until the last spike has arrived where populations in ``held`` send none; None where it may never."""
    echo = dict.fromkeys(network.by_name, 0)
    for _ in range(len(echo) + 1):
        settled = True
        for part in network.projections:
            length = timing.hops(part) + (0 if part.source in held else echo[part.source])
            if length > echo[part.target]:
                echo[part.target], settled = length, False
        if settled:
            return max(echo.values())
    return None


def _largest_potential(network: SynapseNetwork, spikes: NDArray[np.float32]) -> float:
    """A bound of all potentials: all that could arrive in a sample, added up."""
    largest = max(1.0, float(np.abs(spikes).max()))
    arriving = [np.ones(1)]
    for population in network.neurons:
        weights = [abs(part.weights).sum(axis=1).A1 for part in network.arriving[population.name]]
        arriving.append(spikes.shape[1] * largest * np.sum(weights, axis=0) + abs(population.dynamics.reset))
    return max(float(each.max()) for each in arriving)


@dataclass
class _Simulation:
    """One build of a network, and its samples one after the other.

    Attributes:
        network: to run.
        spikes: (samples, steps, *input shape).
        record: nodes whose output is wanted.
        threads: of NEST.
        ids: NEST's numbers of a population's neurons, or of its generators.
    """

    network: SynapseNetwork
    spikes: NDArray[np.float32]
    record: frozenset[str]
    threads: int
    ids: dict[str, Array] = field(default_factory=dict)

    @cached_property
    def timing(self) -> Schedule:
        """In NEST's steps."""
        return schedule(self.network)

    @cached_property
    def window(self) -> Window:
        """Of each sample."""
        return plan_window(self.network, self.timing, self.spikes)

    @cached_property
    def heard(self) -> list[str]:
        """Populations of neurons whose spikes are needed: recorded ones, and those that readouts read."""
        readouts = {population.name for population in self.network.of_kind("readout")}
        sources = {part.source for part in self.network.projections if part.target in readouts}
        return [each.name for each in self.network.neurons if each.name in self.record | sources]

    def samples(self) -> Iterator[dict[str, Array]]:
        """Build the network and run all samples; yields what recorded nodes and the output emit, (steps, *shape)."""
        self._build()
        recorder = nest.Create("spike_recorder")
        for name in self.heard:
            nest.Connect(nest.NodeCollection(np.sort(self.ids[name])), recorder)
        for sample in range(len(self.spikes)):
            nest.Simulate(float(self.window.steps))
            events = recorder.events
            recorder.n_events = 0
            senders, times = np.asarray(events["senders"], int), np.asarray(events["times"], float)  # () if none spiked
            yield self._emitted(sample, senders, times - sample * self.window.steps)

    def _build(self) -> None:
        nest.ResetKernel()
        nest.verbosity = nest.VerbosityLevel.ERROR
        onto_neurons = [part for part in self.network.projections if self.network.by_name[part.target].rule is not None]
        longest = max((self.timing.hops(part) for part in onto_neurons), default=1)
        nest.set(resolution=1.0, local_num_threads=self.threads, min_delay=1.0, max_delay=float(longest))
        for population in self.network.neurons:
            self.ids[population.name] = self._cells(population)
        for name, signal in self._signals().items():
            self.ids[name] = self._generators(signal)
        for part in onto_neurons:
            pairs = part.weights.tocoo()
            sources, targets = self.ids[part.source][pairs.col], self.ids[part.target][pairs.row]
            _connect(sources, targets, pairs.data, self.timing.hops(part))
        self._connect_holds()

    def _cells(self, population: Population) -> Array:
        """Neurons at rest; what differs from neuron to neuron is told by model, since Create is slow in setting it."""
        parameters = neuron_parameters(population.dynamics, self.timing.pace)
        kinds, kind = np.unique(parameters, axis=1, return_inverse=True)
        ids = np.empty(population.neurons, np.int64)
        for number, (tau, threshold, reset) in enumerate(kinds.T):
            mine = np.flatnonzero(kind.ravel() == number)
            state = {"E_L": 0.0, "V_m": 0.0, "t_ref": 0.0, "V_min": self.window.floor}
            nest.SetDefaults(MODEL, {**state, "tau_m": tau, "V_th": threshold, "V_reset": reset})
            ids[mine] = nest.Create(MODEL, len(mine)).tolist()
        return ids

    def _signals(self) -> dict[str, Array]:
        """What populations that are no neurons emit, (samples, steps, values)."""
        samples, steps = self.spikes.shape[:2]
        constant = {each.name: np.ones((samples, steps, 1), np.float32) for each in self.network.of_kind("constant")}
        return {self.network.input.name: self.spikes.reshape(samples, steps, -1), **constant}

    def _generators(self, signal: Array) -> Array:
        """One per value; it sends a spike of that value in every step in which it is not 0."""
        settings = []
        for values in np.moveaxis(signal, 2, 0):
            sample, step = np.nonzero(values)
            times = 1.0 + sample * self.window.steps + step * self.timing.pace
            settings.append({"spike_times": times, "spike_weights": values[sample, step].astype(float)})
        generators = nest.Create("spike_generator", len(settings))
        generators.set(settings)
        return np.array(generators.tolist())

    def _connect_holds(self) -> None:
        """The generators that bring neurons to rest between samples, and their synapses."""
        window, pace = self.window, self.timing.pace
        starts = window.steps * np.arange(len(self.spikes)) + window.active
        down = (starts[:, None] + np.arange(window.hold + 1)).ravel()
        hold, release = (
            nest.Create("spike_generator", params={"spike_times": times.astype(float)})
            for times in (down, starts + window.hold + 1)
        )
        for name in sorted(window.held):
            tau = neuron_parameters(self.network.by_name[name].dynamics, pace)[0]
            kept = np.array([math.exp(-1.0 / each) for each in tau])  # as NEST works it out, to the last bit
            ids = self.ids[name]
            _connect(np.full(len(ids), hold.global_id), ids, np.full(len(ids), 4 * window.floor), 1)
            _connect(np.full(len(ids), release.global_id), ids, -window.floor * kept, 1)

    def _emitted(self, sample: int, senders: Array, times: Array) -> dict[str, Array]:
        """What recorded nodes and the output emitted in a sample, from events and their steps since it began."""
        trains = {name: signal[sample] for name, signal in self._signals().items()}
        for name in self.heard:
            trains[name] = self._train(name, senders, times)
        for readout in self.network.of_kind("readout"):
            trains[readout.name] = self._sum(readout, trains)
        shapes = self.network.by_name
        wanted = (self.network.output, *self.record)
        return {name: trains[name].reshape(-1, *shapes[name].shape) for name in wanted}

    def _train(self, name: str, senders: Array, times: Array) -> Array:
        """(steps, neurons), True where a neuron spiked."""
        ids = self.ids[name]
        mine = (senders >= ids.min()) & (senders <= ids.max())
        step, between = np.divmod(np.rint(times[mine]).astype(int) - 1 - self.timing.latencies[name], self.timing.pace)
        train = np.zeros((self.spikes.shape[1], len(ids)), bool)
        inside = (step >= 0) & (step < len(train)) & (between == 0)
        place = np.empty(len(ids), int)
        place[ids - ids.min()] = np.arange(len(ids))
        train[step[inside], place[senders[mine][inside] - ids.min()]] = True
        return train

    def _sum(self, readout: Population, trains: dict[str, Array]) -> Array:
        """What arrives at a readout, (steps, values)."""
        steps = self.spikes.shape[1]
        total = np.zeros((steps, readout.neurons))
        for part in self.network.arriving[readout.name]:
            arriving = (part.weights @ trains[part.source].T.astype(float)).T
            total[part.delay :] += arriving[: max(0, steps - part.delay)]
        return total


def _connect(sources: Array, targets: Array, weights: Array, delay: int) -> None:
    """One synapse per element; arrays are what NEST connects fastest."""
    if len(sources):
        delays = np.full(len(sources), float(delay))
        synapses = {"synapse_model": "static_synapse", "weight": weights.astype(float), "delay": delays}
        nest.Connect(sources, targets, "one_to_one", synapses)
