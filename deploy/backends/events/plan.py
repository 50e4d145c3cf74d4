"""An integer network as a program for ``kernels.encode``: steps over flat buffers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import lcm, prod

import numpy as np
from numpy.typing import NDArray

from deploy.backends.events.check import check_network
from deploy.backends.events.kernels import LINEAR, MIX, NEURONS, NIBBLES, PRODUCT, STEP
from deploy.backends.events.tables import QUAD, aligned, block_table, linear_table
from deploy.backends.events.width import CHUNK, Width, choose_width
from export.encoder.integer import Blocks, Coincidences, Convolution, IntegerNetwork, Layer, Neurons, Whole
from spikinghash.errors import GraphError

_AT_ONCE = 12288
"""Lanes whose currents and potentials are worked on together: they about fill a core's first cache. Fewer would leave
it less often, and cost more calls: an eighth of them took 1.1 times as long."""


@dataclass(frozen=True)
class Population:
    """Where the spikes of a layer are: (T, places, lanes), as bytes and as nibbles."""

    places: int
    lanes: int
    order: NDArray[np.intp]
    """Channel of each lane that stands for one."""
    nibbles: int
    nibble_step: int
    """The nibbles of a time step end with zeros, for what lies beyond the border."""
    spikes: int
    state: int
    """Where its potentials are in a program that goes on from call to call."""


@dataclass
class Program:
    """All that a call of ``kernels.encode`` takes but the frames; buffers are sizes only."""

    width: Width
    steps: NDArray[np.void]
    traced: NDArray[np.void]
    """The same, with the spikes of every population kept."""
    going_on: NDArray[np.void]
    """The same as ``steps``, with the potentials of every population kept."""
    look_up: Whole
    table: Whole
    ballot: Whole
    populations: dict[str, Population]
    sizes: dict[str, int] = field(default_factory=dict)
    """Elements of each buffer."""


class Planner:
    """Lays a network out, layer by layer."""

    def __init__(self, network: IntegerNetwork) -> None:
        check_network(network)
        self._network = network
        self._layers = {layer.name: layer for layer in network.layers}
        self._width = choose_width(network)
        self._populations: dict[str, Population] = {}
        self._streams: dict[tuple[str, ...], int] = {}
        self._look_up: list[Whole] = []
        self._table: list[Whole] = []
        self._steps: list[dict[str, int]] = []
        self._sizes = {"nibbles": network.time_steps * (network.size**2 + 1), "spikes": 0, "words": 0, "current": 0,
                       "potentials": 0, "states": 0}  # fmt: skip

    def program(self) -> Program:
        """The whole network."""
        for layer in self._network.layers:
            if isinstance(layer, Neurons):
                self._neurons(layer)
        voters = self._populations[self._network.vote.sources[0]]
        ballot = np.array([voters.spikes, voters.places * voters.lanes])
        traced = np.zeros(len(self._steps), STEP)
        for row, columns in enumerate(self._steps):
            for column, value in columns.items():
                traced[column][row] = value
        steps, scratch = traced.copy(), self._sizes["spikes"]
        # Spikes as bytes are read by products and by the vote; all others are forgotten once they are nibbles.
        products = [layer for layer in self._network.layers if isinstance(layer, Coincidences)]
        read = [self._populations[layer.sources[0]].spikes for layer in (*products, self._network.vote)]
        forgotten = ~np.isin(steps["kept"], read)
        for column, value in (("kept", scratch), ("kept_step", 0), ("kept_place", 0)):
            steps[column][forgotten] = value
        self._sizes["spikes"] += self._sizes["potentials"]
        self._sizes["current"] += -self._sizes["current"] % CHUNK
        going_on = steps.copy()
        for population in self._populations.values():
            fires = (traced["kept"] == population.spikes) & (traced["lanes"] > 0)
            going_on["state"][fires], going_on["state_place"][fires] = population.state, population.lanes
        look_up = np.concatenate(self._look_up)
        table = aligned(sum(map(len, self._table)), np.int64)
        np.concatenate(self._table, out=table)
        return Program(self._width, steps, traced, going_on, look_up, table, ballot, self._populations, self._sizes)

    def _neurons(self, layer: Neurons) -> None:
        """The maps in front of a population, and the population."""
        sources = layer.sources
        begun = max((n for n in range(len(sources) + 1) if sources[:n] in self._streams), default=0)
        first = self._layers[sources[-1]]
        if begun == len(sources):
            self._emit(self._fires(layer) | {"kind": NEURONS, "stream": self._streams[sources]})
            return
        if isinstance(first, Coincidences):
            self._product(first, layer)
            return
        shared = len(sources) > 1 or self._is_read_on(sources)
        stream = self._streams.pop(sources[:begun], -1)
        for position in range(begun, len(sources)):
            fresh = stream < 0 and shared
            if fresh:
                stream = self._take("words", self._places(layer) * self._network.time_steps * self._wide(layer))
            last = position == len(sources) - 1
            self._map(self._layers[sources[position]], layer, stream, fresh, last)
        if shared:
            self._streams[sources] = stream

    def _is_read_on(self, sources: tuple[str, ...]) -> bool:
        """Whether a stream goes on behind ``sources``."""
        readers = [layer for layer in self._network.layers if isinstance(layer, Neurons)]
        return sum(reader.sources[: len(sources)] == sources for reader in readers) > 1

    def _map(self, layer: Layer, target: Neurons, stream: int, fresh: bool, last: bool) -> None:
        """A linear map onto a stream or, the last one, onto neurons."""
        first = fresh or stream < 0
        onto = {"stream": stream, "fresh": int(first)}
        if isinstance(layer, Convolution):
            self._emit(self._fires(target) if last else self._silent(target), self._linear(layer, target, first), onto)
        elif isinstance(layer, Blocks) and not first:
            self._emit(self._silent(target), self._blocks(layer), onto)
            if last:
                self._emit(self._fires(target) | {"kind": NEURONS, "stream": stream})
        else:
            raise GraphError(f"node {layer.name}: a {layer.kind} cannot begin a residual stream")

    def _linear(self, layer: Convolution, target: Neurons, first: bool) -> dict[str, int]:
        order = self._order(target)
        weight, bias = layer.whole()[order], np.zeros(self._lanes(target), np.int64)
        bias[: len(order)] = layer.bias[order]
        if layer.sources[0] == "input":
            size = self._network.size
            taps, rows = _frame_taps(weight, layer.padding)
            source = {"source": 0, "source_step": size**2 + 1, "run": 1}
            starts = _starts(layer, taps, (size, size), 1, size**2)
        else:
            read, (_, height, wide) = self._populations[layer.sources[0]], self._layers[layer.sources[0]].shape
            run, quads = -(-len(read.order) // QUAD), read.lanes // QUAD
            taps = list(np.ndindex(*weight.shape[2:]))
            by_lane = np.zeros((len(taps), run * QUAD, len(order)), np.int64)
            by_lane[:, : len(read.order)] = (
                weight[:, read.order].transpose(2, 3, 1, 0).reshape(len(taps), -1, len(order))
            )
            rows = by_lane.reshape(-1, QUAD, len(order))
            source = {"source": read.nibbles, "source_step": read.nibble_step, "run": run}
            starts = _starts(layer, taps, (height, wide), quads, read.places * quads)
        padded = np.zeros((len(rows), QUAD, self._lanes(target)), np.int64)
        padded[..., : len(order)] = rows
        table = linear_table(padded, bias, self._width, first)
        where = {"look_up": self._add(self._look_up, starts), "table": self._add(self._table, table)}
        return {"kind": LINEAR, "taps": len(taps), **source, **where}

    def _blocks(self, layer: Blocks) -> dict[str, int]:
        read, blocks, steps = self._populations[layer.sources[0]], layer.block_map, self._network.time_steps
        channels, height, wide = layer.shape
        levels, groups, children, out = blocks.kernels.shape[:4]
        size = lcm(out, QUAD)
        if -(-channels // size) * size > read.lanes:
            size = groups * out if groups * out % QUAD == 0 else read.lanes  # all groups together
        table = block_table(blocks, layer.bias, size, self._width)
        chunks = table.shape[2]
        quads, words = read.lanes // QUAD, read.lanes // self._width.per_word
        firsts = (np.arange(0, whole, side) for whole, side in zip((steps, height, wide), blocks.sides, strict=True))
        corners = np.stack(np.meshgrid(*firsts, indexing="ij"), axis=-1).reshape(-1, 3)

        def offsets(places: Whole, step: int, place: int) -> Whole:
            return places[:, 0] * step + (places[:, 1] * wide + places[:, 2]) * place

        as_nibbles, as_words = (read.nibble_step, quads), (height * wide * words, words)
        both = np.stack([offsets(corners, *as_nibbles), offsets(corners, *as_words)], axis=1)
        numbers, cells = np.arange(len(blocks.members)), len(blocks.members) // children
        child = [numbers // children**level % children for level in range(levels)]
        cell = [level * cells + numbers // children ** (level + 1) for level in range(levels)]
        quads_of, lift = np.arange(size // QUAD), np.arange(size // self._width.per_word)
        look_up = [
            offsets(blocks.members, *as_nibbles)[:, None] + quads_of,
            *((each[:, None] * len(quads_of) + quads_of) * NIBBLES * CHUNK for each in child),
            offsets(blocks.members, *as_words)[:, None] + lift,
            *((at * chunks * CHUNK + each * len(lift))[:, None] + lift for at, each in zip(cell, child, strict=True)),
            both,
        ]
        self._need("current", levels * (len(blocks.members) // children) * chunks * CHUNK)
        return {
            "kind": MIX, "levels": levels, "children": children, "members": len(blocks.members),
            "blocks": len(corners), "groups": len(table), "quads": len(quads_of), "lift": len(lift),
            "chunks": chunks, "source": read.nibbles,
            "look_up": self._add(self._look_up, *look_up), "table": self._add(self._table, table),
        }  # fmt: skip

    def _product(self, layer: Coincidences, target: Neurons) -> None:
        read, width = self._populations[layer.sources[0]], layer.shape[0] // layer.heads
        lanes = self._lanes(target) * self._places(target) + layer.shape[0] * width
        self._need("current", -(-lanes // self._width.per_word))
        fires = self._fires(target) | {"block": self._places(target)}
        self._need("potentials", self._lanes(target) * self._places(target))
        self._emit(fires, {
            "kind": PRODUCT, "source": read.spikes, "source_step": read.places * read.lanes, "row": read.lanes,
            "heads": layer.heads, "width": width, "weight": layer.weight,
        })  # fmt: skip

    def _fires(self, layer: Neurons) -> dict[str, int]:
        """Columns of a step with neurons behind it; their spikes get a place."""
        places, lanes, steps = self._places(layer), self._lanes(layer), self._network.time_steps
        shift = self._width.shift(layer.threshold, layer.lowest, layer.highest)
        assert shift is not None
        quads = lanes // QUAD
        nibble_step = (places + 1) * quads
        population = Population(
            places, lanes, self._order(layer), self._take("nibbles", steps * nibble_step), nibble_step,
            self._take("spikes", steps * places * lanes), self._take("states", places * lanes),
        )  # fmt: skip
        self._populations[layer.name] = population
        return self._silent(layer) | {
            "lanes": lanes, "limit": layer.threshold + shift, "shift": shift,
            "kept": population.spikes, "kept_step": places * lanes, "kept_place": lanes,
            "out": population.nibbles, "out_step": nibble_step,
        }  # fmt: skip

    def _silent(self, layer: Neurons) -> dict[str, int]:
        """Columns of a step onto the stream of ``layer``."""
        lanes, places = self._lanes(layer), self._places(layer)
        block = max(1, min(places, _AT_ONCE // lanes))
        self._need("current", block * self._wide(layer))
        self._need("potentials", block * lanes)
        return {
            "steps": self._network.time_steps, "places": places, "chunks": self._wide(layer) // CHUNK, "block": block,
            "stream": -1, "lanes": 0,
        }  # fmt: skip

    def _order(self, layer: Neurons) -> NDArray[np.intp]:
        """Channel of each lane: of a product and of what it reads, heads last."""
        beside = [other for other in self._network.layers if layer.name in other.sources]
        beside += [self._layers[name] for name in layer.sources]
        product = next((each for each in beside if isinstance(each, Coincidences)), None)
        channels = layer.shape[0]
        if product is None:
            return np.arange(channels)
        by_head = np.arange(channels).reshape(channels // product.shape[0], product.heads, -1)
        return by_head.swapaxes(1, 2).reshape(-1)

    def _places(self, layer: Layer) -> int:
        return prod(layer.shape[1:])

    def _lanes(self, layer: Layer) -> int:
        return self._width.lanes(layer.shape[0])

    def _wide(self, layer: Layer) -> int:
        """Words of a place."""
        return self._lanes(layer) // self._width.per_word

    def _emit(self, *columns: dict[str, int]) -> None:
        step: dict[str, int] = {}
        for part in columns:
            step |= part
        self._steps.append(step)

    def _need(self, buffer: str, size: int) -> None:
        self._sizes[buffer] = max(self._sizes[buffer], size)

    def _take(self, buffer: str, size: int) -> int:
        self._sizes[buffer] += size
        return self._sizes[buffer] - size

    @staticmethod
    def _add(parts: list[Whole], *arrays: Whole) -> int:
        """Append to a buffer; returns where."""
        begin = sum(len(part) for part in parts)
        parts.extend(array.reshape(-1) for array in arrays)
        return begin


def _frame_taps(weight: Whole, padding: int) -> tuple[list[tuple[int, int]], Whole]:
    """Taps of a kernel (out, 2, height, width) over frames, whose nibbles hold two pixels, and its rows (taps, 4, out).

    Only a tap that never lies left of the frame can stand for its right neighbour too.
    """
    out, channels, height, width = weight.shape
    taps, rows = [], []
    for y in range(height):
        x = 0
        while x < width:
            pixels = min(2 if x >= padding else 1, width - x)
            row = np.zeros((QUAD, out), np.int64)
            row[: channels * pixels] = weight[:, :, y, x : x + pixels].transpose(2, 1, 0).reshape(-1, out)
            taps.append((y, x))
            rows.append(row)
            x += pixels
    return taps, np.array(rows)


def _starts(
    layer: Convolution, taps: Sequence[tuple[int, ...]], size: tuple[int, int], step: int, outside: int
) -> Whole:
    """Where the nibbles begin that each tap reads, (places, taps), of a map of ``size``, ``step`` apart."""
    _, height, width = layer.shape
    rows, columns = np.divmod(np.arange(height * width)[:, None], width)
    y = rows * layer.stride - layer.padding + np.array([tap[0] for tap in taps])
    x = columns * layer.stride - layer.padding + np.array([tap[1] for tap in taps])
    inside = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
    return np.where(inside, (y * size[1] + x) * step, outside)
