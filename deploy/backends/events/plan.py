"""An integer network as a program for ``kernels.encode``: steps over flat buffers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm, prod

import numpy as np
from numpy.typing import NDArray

from deploy.backends.events.check import check_network
from deploy.backends.events.kernels import FRAMES, LINEAR, MIX, NEURONS, PIXELS, PRODUCT, QUAD, STEP
from deploy.backends.events.tables import aligned, block_table, first_words, linear_table
from deploy.backends.events.width import CHUNK, Width, choose_width, offsets_of
from export.encoder.integer import Blocks, Coincidences, Convolution, IntegerNetwork, Layer, Neurons, Whole
from spikinghash.errors import GraphError

_AT_ONCE = 12288
"""Lanes whose currents and potentials are worked on together: they about fill a core's first cache. A quarter of them
or twice as many took as long."""


@dataclass(frozen=True)
class Population:
    """Where the spikes of a layer are, (T, places, lanes): as bytes and as choices by nibbles."""

    places: int
    lanes: int
    lane_of: NDArray[np.intp]
    """Lane of each channel."""
    choices: int
    choice_step: int
    """The choices of a time step end with zeros, for what lies beyond the border."""
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
    sizes: dict[str, int]
    """Elements of each buffer."""


class Planner:
    """Lays a network out, layer by layer."""

    def __init__(self, network: IntegerNetwork) -> None:
        check_network(network)
        self._network = network
        self._layers = {layer.name: layer for layer in network.layers}
        self._width, self._offsets = choose_width(network), offsets_of(network)
        self._populations: dict[str, Population] = {}
        self._streams: dict[tuple[str, ...], int] = {}
        self._look_up: list[Whole] = []
        self._table: list[Whole] = [first_words(self._width)]
        self._steps: list[dict[str, int]] = []
        self._sizes = dict.fromkeys(("choices", "seen", "spikes", "words", "current", "potentials", "states"), 0)

    def program(self) -> Program:
        """The whole network."""
        self._frames()
        for layer in self._network.layers:
            if isinstance(layer, Neurons):
                self._neurons(layer)
        voters = self._in_order(self._network.vote)
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
        table = aligned(sum(map(len, self._table)), np.uint64)
        np.concatenate(self._table, out=table.view(np.int64))
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

    def _frames(self) -> None:
        """The step that reads the frames, with zeros above, on the left and behind, as many as a map reads."""
        maps = [each for each in self._network.layers if isinstance(each, Convolution) and "input" in each.sources]
        margin = max((each.padding for each in maps), default=0)
        row, behind = self._network.size + margin, max((each.weight.shape[3] for each in maps), default=0)
        self._frame = {"row": row, "margin": margin, "out_step": row * row + margin + behind}
        self._take("choices", self._network.time_steps * self._frame["out_step"])
        self._need("seen", self._frame["out_step"] + row * PIXELS)
        self._emit({"kind": FRAMES, "out": 0}, self._frame)

    def _linear(self, layer: Convolution, target: Neurons, first: bool) -> dict[str, int]:
        lane_of, lanes, whole = self._lane_of(target), self._lanes(target), layer.whole()
        weight, bias = np.zeros((lanes, *whole.shape[1:]), np.int64), np.zeros(lanes, np.int64)
        weight[lane_of], bias[lane_of] = whole, layer.bias
        framed = "input" in layer.sources
        rows, starts, read = (self._of_frames if framed else self._of_spikes)(layer, weight)
        table = linear_table(rows, bias, self._width, self._offsets[target.sources[0]] if first else 0)
        return read | {
            "kind": LINEAR, "taps": starts.shape[1], "run": len(rows) // starts.shape[1],
            "framed": framed, "look_up": self._add(self._look_up, starts),
            "table": self._add(self._table, table),
        }  # fmt: skip

    def _of_frames(self, layer: Convolution, weight: Whole) -> tuple[Whole, Whole, dict[str, int]]:
        """What each choice causes (n, inputs, lanes), where those of a tap begin (places, taps), and columns."""
        lanes, channels, height, width = weight.shape
        row, margin = self._frame["row"], self._frame["margin"]
        padded = np.zeros((lanes, channels, -(-height // PIXELS), PIXELS, width), np.int64)
        padded.reshape(lanes, channels, -1, width)[:, :, :height] = weight
        taps = [(y, 0) for y in range(0, height, PIXELS)]
        rows = padded.transpose(2, 4, 3, 1, 0).reshape(-1, PIXELS * channels, lanes)
        starts = _starts(layer, taps, 2 * [self._network.size], row, margin, 1, row * row + margin)
        return rows, starts, {"source": 0, "source_step": self._frame["out_step"]}

    def _of_spikes(self, layer: Convolution, weight: Whole) -> tuple[Whole, Whole, dict[str, int]]:
        """The same of a population's spikes."""
        read, (_, *size) = self._populations[layer.sources[0]], self._layers[layer.sources[0]].shape
        lanes, _, *kernel = weight.shape
        by_lane = np.zeros((lanes, -(-(read.lane_of[-1] + 1) // QUAD) * QUAD, *kernel), np.int64)
        by_lane[:, read.lane_of] = weight
        rows, quads = by_lane.transpose(2, 3, 1, 0).reshape(-1, QUAD, lanes), read.lanes // QUAD
        starts = _starts(layer, list(np.ndindex(*kernel)), size, size[1], 0, quads, read.places * quads)
        return rows, starts, {"source": read.choices, "source_step": read.choice_step}

    def _blocks(self, layer: Blocks) -> dict[str, int]:
        read, blocks, steps = self._in_order(layer), layer.block_map, self._network.time_steps
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
        places = corners[:, None] + blocks.members

        def offsets(step: int, place: int) -> Whole:
            return places[..., 0] * step + (places[..., 1] * wide + places[..., 2]) * place

        of_nibbles, lift = offsets(read.choice_step, quads), size // self._width.per_word
        look_up, number = [offsets(height * wide * words, words)], np.arange(places[..., 0].size)
        for level in range(levels):
            cell, child = number // children ** (level + 1), number // children**level % children
            split = of_nibbles.reshape(-1, children, children**level)
            look_up += [cell * chunks * CHUNK + child * lift, split.swapaxes(0, 1) if level else split]
        self._need("current", places[..., 0].size // children * chunks * CHUNK)
        return {
            "kind": MIX, "levels": levels, "children": children, "members": len(blocks.members),
            "blocks": len(corners), "groups": len(table), "quads": size // QUAD, "lift": lift,
            "chunks": chunks, "source": read.choices,
            "look_up": self._add(self._look_up, *look_up), "table": self._add(self._table, table),
        }  # fmt: skip

    def _product(self, layer: Coincidences, target: Neurons) -> None:
        read, lanes = self._populations[layer.sources[0]], self._lanes(target) * self._places(target)
        self._need("current", lanes // self._width.per_word)
        fires = self._fires(target) | {"block": self._places(target)}
        self._need("potentials", lanes)
        self._emit(fires, {
            "kind": PRODUCT, "source": read.choices, "source_step": read.choice_step,
            "row": read.lanes // QUAD, "heads": layer.heads, "quads": -(-layer.shape[0] // layer.heads // QUAD),
            "lift": QUAD // self._width.per_word, "weight": layer.weight,
            "offset": self._width.everywhere(self._offsets[target.sources[0]]),
        })  # fmt: skip

    def _fires(self, layer: Neurons) -> dict[str, int]:
        """Columns of a step with neurons behind it; their spikes get a place."""
        places, lanes, steps = self._places(layer), self._lanes(layer), self._network.time_steps
        step = (places + 1) * (lanes // QUAD)
        population = Population(
            places, lanes, self._lane_of(layer), self._take("choices", steps * step), step,
            self._take("spikes", steps * places * lanes), self._take("states", places * lanes),
        )  # fmt: skip
        self._populations[layer.name] = population
        rest = 2 * self._offsets[layer.sources[0]]
        return self._silent(layer) | {
            "lanes": lanes, "limit": layer.threshold + rest, "rest": rest,
            "kept": population.spikes, "kept_step": places * lanes, "kept_place": lanes,
            "out": population.choices, "out_step": population.choice_step,
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

    def _lane_of(self, layer: Neurons) -> NDArray[np.intp]:
        """Lane of each channel; the heads of a product, and of what it reads, begin with a nibble."""
        beside = [other for other in self._network.layers if layer.name in other.sources]
        beside += [self._layers[name] for name in layer.sources]
        widths = {each.shape[0] // each.heads for each in beside if isinstance(each, Coincidences)}
        if len(widths) > 1:
            raise GraphError(f"node {layer.name}: products beside it have heads of {sorted(widths)} channels: use one")
        width = widths.pop() if widths else QUAD
        head, channel = np.divmod(np.arange(layer.shape[0]), width)
        return head * -(-width // QUAD) * QUAD + channel

    def _in_order(self, layer: Layer) -> Population:
        """What ``layer`` reads, lane by lane."""
        read = self._populations.get(layer.sources[0])
        if read is None or read.lane_of[-1] >= len(read.lane_of):
            raise GraphError(
                f"node {layer.name}: a {layer.kind} cannot read {layer.sources[0]}, frames or heads of a product whose "
                "channels are no multiple of four: put a map between"
            )
        return read

    def _places(self, layer: Layer) -> int:
        return prod(layer.shape[1:])

    def _lanes(self, layer: Neurons) -> int:
        return self._width.lanes(int(self._lane_of(layer)[-1]) + 1)

    def _wide(self, layer: Neurons) -> int:
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


def _starts(
    layer: Convolution, taps: Sequence[tuple[int, ...]], size: Sequence[int], row: int, margin: int, step: int,
    outside: int,
) -> Whole:  # fmt: skip
    """Where the choices begin that each tap reads, (places, taps), of a map of ``size``.

    Pixels are ``step`` apart, rows ``row`` pixels, and ``margin`` pixels lie above and on the left.
    """
    _, height, width = layer.shape
    rows, columns = np.divmod(np.arange(height * width)[:, None], width)
    y = rows * layer.stride - layer.padding + np.array([tap[0] for tap in taps])
    x = columns * layer.stride - layer.padding + np.array([tap[1] for tap in taps])
    inside = (y >= -margin) & (y < size[0]) & (x >= -margin) & (x < size[1])
    return np.where(inside, ((y + margin) * row + x + margin) * step, outside)
