"""Delays as shift registers: for simulators that know neither delays nor anything but neurons and linear maps.

A register holds d + 1 lanes of its source: lane 0 repeats the source, lane k what lane k - 1 held one step earlier.
The lanes are fed back through a relay, in a cycle of four nodes (register, map, relay, map); a cycle takes one step.
"""

import itertools
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from export.encoder.graph import Graph
from export.encoder.node import Array, Linear, Shape
from export.encoder.operations import Conv, Delay, Threshold
from spikinghash.errors import GraphError

REPEAT = 0.5
"""Threshold of a unit that repeats a spike."""
LARGEST_REGISTER = 1536
"""Channels of one register; longer ones are cut, because its maps grow with the square of its channels."""


@dataclass(frozen=True)
class _Tap:
    """What a ``Delay`` channel reads: a channel of a spiking population, some steps ago."""

    base: str
    channels: tuple[int, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class _Register:
    name: str
    first: int
    """First channel of the base population that it holds."""
    width: int
    lanes: int


def shift_registers(graph: Graph) -> tuple[Graph, list[tuple[str, str]]]:
    """Replace every ``Delay``; return also the edges of the cycles, which some simulators want listed first."""
    graph = graph.copy()
    cycles: list[tuple[str, str]] = []
    by_base: dict[str, dict[str, _Tap]] = defaultdict(dict)
    for name, delay in graph.find(Delay):
        tap = _tap(graph, name, delay)
        by_base[tap.base][name] = tap
    for base, taps in by_base.items():
        registers = _build(graph, base, max(max(tap.steps) for tap in taps.values()), cycles)
        for name, tap in taps.items():
            _reconnect(graph, name, tap, registers)
    return graph, cycles


def _tap(graph: Graph, name: str, delay: Delay) -> _Tap:
    """Follow delay ``name`` back to neurons, through copies of spikes and through other delays."""
    (base,) = graph.sources(name)
    channels = tuple(range(delay.shape[0]))
    node = graph.nodes[base]
    if isinstance(node, Conv):
        if not np.array_equal(node.weight.sum(1).ravel(), np.ones(len(node.weight))):
            raise GraphError(f"node {name}: it delays {base}, which neither spikes nor copies spikes")
        channels = tuple(node.weight[:, :, 0, 0].argmax(1))
        (base,) = graph.sources(base)
    node = graph.nodes[base]
    if not isinstance(node, Delay):
        return _Tap(base, channels, delay.steps)
    inner = _tap(graph, base, node)
    steps = tuple(inner.steps[channel] + late for channel, late in zip(channels, delay.steps, strict=True))
    return _Tap(inner.base, tuple(inner.channels[channel] for channel in channels), steps)


def _build(graph: Graph, base: str, steps: int, cycles: list[tuple[str, str]]) -> list[_Register]:
    channels = graph.nodes[base].shape[0]
    width = max(1, LARGEST_REGISTER // (steps + 1))
    registers: list[_Register] = []
    for first in range(0, channels, width):
        count = min(width, channels - first)
        register = _Register(f"{base}_register{len(registers)}", first, count, steps + 1)
        _add(graph, base, register, cycles)
        registers.append(register)
    return registers


def _add(graph: Graph, base: str, register: _Register, cycles: list[tuple[str, str]]) -> None:
    shape, name, width = graph.nodes[base].shape, register.name, register.width
    all_lanes, kept = register.lanes * width, (register.lanes - 1) * width
    enter = np.eye(all_lanes, width) @ np.eye(shape[0])[register.first : register.first + width]
    whole: Shape = (all_lanes, *shape[1:])
    graph.add(f"{name}_in", _pointwise(shape, enter), base)
    graph.add(name, Threshold(whole, REPEAT), f"{name}_in")
    served = graph.serves.get(base, base)
    graph.serves[name] = served
    if not kept:  # nothing is late
        return
    graph.add(f"{name}_out", _pointwise(whole, np.eye(kept, all_lanes)), name)
    graph.add(f"{name}_relay", Threshold((kept, *shape[1:]), REPEAT), f"{name}_out")
    graph.add(f"{name}_shift", _pointwise((kept, *shape[1:]), np.eye(all_lanes, kept, -width)), f"{name}_relay")
    graph.connect(f"{name}_shift", name)
    ring = [name, f"{name}_out", f"{name}_relay", f"{name}_shift", name]
    cycles += list(itertools.pairwise(ring))
    graph.serves[f"{name}_relay"] = served


def _pointwise(source: Shape, matrix: Array) -> Conv:
    return Conv(source, matrix[:, :, None, None])


def _reconnect(graph: Graph, name: str, tap: _Tap, registers: list[_Register]) -> None:
    """Let the readers of delay ``name`` read the lanes instead."""
    readers = graph.targets(name)
    graph.remove(name)
    for register in registers:
        select = _selection(tap, register)
        for reader in readers:
            node = graph.nodes[reader]
            lanes = graph.nodes[register.name].shape
            if node.spiking:
                behind: Linear = _pointwise(lanes, select)
                targets = [reader]
            else:
                assert isinstance(node, Linear)
                behind, targets = node.behind(reader, select, lanes), graph.targets(reader)
            with graph.within(graph.groups[reader]):
                added = graph.add(f"{reader}_from_{register.name}", behind, register.name)
            for target in targets:
                graph.connect(added, target)
    graph.remove(*(reader for reader in readers if not graph.nodes[reader].spiking))


def _selection(tap: _Tap, register: _Register) -> Array:
    """Matrix from the register's channels to the channels of the delay that it replaces."""
    select = np.zeros((len(tap.channels), register.lanes * register.width))
    for channel, (base, steps) in enumerate(zip(tap.channels, tap.steps, strict=True)):
        if register.first <= base < register.first + register.width:
            select[channel, steps * register.width + base - register.first] = 1.0
    return select
