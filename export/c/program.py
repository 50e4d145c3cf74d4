"""A C program while it is written: its streams, its buffers, its tables and its calls."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.c.memory import Buffer, place_buffers
from export.c.packing import BLOCK, RAISED, WORD, common_power, in_lanes, paired, places
from export.encoder.integer import Blocks, Convolution, IntegerNetwork, Layer, Neurons, Whole
from spikinghash.errors import GraphError

LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Table:
    """A constant array in C."""

    name: str
    kind: str
    values: NDArray[Any]
    """Any shape; written flat."""


@dataclass(frozen=True)
class Record:
    """A constant struct in C: what a layer is called with."""

    kind: str
    name: str
    fields: dict[str, int | str]


@dataclass(frozen=True)
class Call:
    """A statement of the function that encodes."""

    function: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Stream:
    """Currents that several maps add to, (pixels, words of a pixel, T)."""

    name: str
    channels: int
    pixels: int
    readers: tuple[Neurons, ...]
    packed: bool
    """Whether two channels share a word."""

    @property
    def lanes(self) -> NDArray[np.int64]:
        """Channels of each word."""
        return paired(self.channels) if self.packed else np.arange(self.channels)[:, None]

    @property
    def words(self) -> int:
        """Of a pixel and step, whole blocks of channels."""
        block = BLOCK // 2 if self.packed else BLOCK
        return -(-len(self.lanes) // block) * block

    @property
    def rest(self) -> int:
        """What a lane of a neuron holds at rest: above 2^15 by its threshold."""
        return RAISED + self.readers[0].threshold if self.packed else 0


@dataclass
class Program:
    """Collects what the templates need."""

    network: IntegerNetwork
    tables: list[Table] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    needs: dict[str, int] = field(default_factory=dict)
    """Elements of each scratch array."""
    uses: set[str] = field(default_factory=set)
    """Functions that are called, and so have to be in the file."""

    def __post_init__(self) -> None:
        self._buffers: dict[str, Buffer] = {}
        self._shapes = {"input": (2, self.network.size, self.network.size)}
        self._shapes |= {layer.name: layer.shape for layer in (*self.network.layers, self.network.vote)}
        self.streams = {stream.name: stream for stream in self._find_streams()}
        self._stream_of = {
            source: stream for stream in self.streams.values() for reader in stream.readers for source in reader.sources
        }
        self._added: dict[str, list[str]] = {name: [] for name in self.streams}
        self._waiting: dict[str, Layer] = {}

    @property
    def steps(self) -> int:
        """Time steps of a window."""
        return self.network.time_steps

    def stream_of(self, layer: Layer) -> Stream:
        """The stream that a map adds to."""
        return self._stream_of[layer.name]

    def source(self, layer: Layer) -> tuple[int, int, int]:
        """Shape of the spikes that a map reads, (C, H, W)."""
        return self._shapes[layer.sources[0]]

    def spikes(self, name: str) -> str:
        """The buffer of a population's spikes, (pixels, T, words), in use until now."""
        channels, *pixels = self._shapes[name]
        return self._buffer(f"{name}_spikes", prod(pixels) * self.steps * -(-channels // WORD))

    def currents(self, stream: Stream) -> str:
        """The buffer of a stream's currents, in use until now."""
        return self._buffer(f"{stream.name}_stream", stream.pixels * stream.words * self.steps)

    def table(self, name: str, kind: str, values: NDArray[Any]) -> str:
        """A constant array; returns its name."""
        self.tables.append(Table(name, kind, np.ravel(values)))
        return name

    def scratch(self, name: str, elements: int) -> None:
        """See to it that the scratch array ``name`` has so many elements."""
        self.needs[name] = max(elements, self.needs.get(name, 0))

    def bias(self, layer: Layer, bias: Whole, taken_off: int = 0) -> str:
        """What the currents of ``layer`` begin with or are raised by; ``taken_off`` by each lane."""
        stream = self.stream_of(layer)
        begins = not self._added[stream.name]
        constant = (stream.rest // 2 if begins else 0) - taken_off
        values = in_lanes(constant - bias, stream.lanes, constant)
        values = np.append(values, np.zeros(stream.words - len(values), np.uint32))
        return self.table(f"{layer.name}_bias", "uint32_t", values)

    def places(self, stream: Stream) -> str:
        """The table of where each channel of a stream stands."""
        name = f"places_of_{stream.channels}{'' if stream.packed else '_wide'}"
        if all(table.name != name for table in self.tables):
            self.table(name, "uint32_t", places(stream.lanes, stream.channels, self.steps))
        return name

    def record(self, kind: str, of: Layer, /, **fields: int | str) -> None:
        """A constant struct with the name of its layer."""
        self.records.append(Record(kind, of.name, fields))

    def add(self, layer: Layer, function: str) -> None:
        """Call a map, whose currents begin its stream or are added to it."""
        stream = self.stream_of(layer)
        begins = not self._added[stream.name]
        self._added[stream.name].append(layer.name)
        if self.fuses(layer):
            self._waiting[stream.name] = layer
            return
        source, currents = self.spikes(layer.sources[0]), self.currents(stream)
        self.call(function, f"&{layer.name}", source, currents, "BEGIN" if begins else "ADD")

    def fuses(self, layer: Layer) -> bool:
        """Whether one population alone reads a map, which then needs no more than the currents of one pixel."""
        stream = self.stream_of(layer)
        alone = len(stream.readers) == 1 and stream.readers[0].sources == (layer.name,)
        return alone and isinstance(layer, Convolution) and layer.groups == 1

    def fire(self, layer: Neurons) -> None:
        """Call the neurons of a stream, with the map in front of them where they alone read it."""
        stream = self.streams[layer.sources[0]]
        if set(self._added[stream.name]) != set(layer.sources):
            raise GraphError(f"node {layer.name}: it reads a part of the stream {stream.name}: export anew")
        kind = "packed" if stream.packed else "wide"
        self.uses.add(f"fire_{kind}")
        if stream.name in self._waiting:
            map_ = self._waiting[stream.name]
            self.scratch("pixel", stream.words * self.steps)
            spikes = self.spikes(map_.sources[0]), self.spikes(layer.name)
            self.call("convolve_and_fire", f"&{map_.name}", f"&{layer.name}", f"fire_{kind}", *spikes)
        else:
            self.call("fire", f"&{layer.name}", f"fire_{kind}", self.currents(stream), self.spikes(layer.name))

    def call(self, function: str, *arguments: str) -> None:
        """A statement."""
        self.uses.add(function)
        self.calls.append(Call(function, arguments))

    def place(self) -> tuple[list[Buffer], int]:
        """The buffers with their offsets, and the words of memory that they take."""
        buffers = list(self._buffers.values())
        return buffers, place_buffers(buffers)

    def layer_index(self, name: str) -> int:
        """Of a counted population."""
        return self.network.populations.index(name)

    def _buffer(self, name: str, words: int) -> str:
        now = len(self.calls)
        buffer = self._buffers.setdefault(name, Buffer(name, words, now, now))
        buffer.last = now
        return name

    def _find_streams(self) -> Iterable[Stream]:
        readers: dict[str, list[Neurons]] = {}
        for layer in self.network.layers:
            if isinstance(layer, Neurons):
                readers.setdefault(layer.sources[0], []).append(layer)
        maps = {layer.name: layer for layer in self.network.layers}
        for name, neurons in readers.items():
            sources = dict.fromkeys(source for each in neurons for source in each.sources)
            channels, *pixels = neurons[0].shape
            packed = _fits_lanes(neurons, [maps[source] for source in sources])
            if not packed:
                _require_32_bits(neurons)
            yield Stream(name, channels, prod(pixels), tuple(neurons), packed)


def _fits_lanes(neurons: list[Neurons], maps: list[Layer]) -> bool:
    """Whether the potentials of all readers fit a lane of 16 bits, and the sums of each map by itself.

    A neuron holds ``2^15 + threshold - u``, where u, the potential rounded up, is never below twice the least current.
    """
    thresholds = {each.threshold for each in neurons}
    threshold = neurons[0].threshold
    return (
        len(thresholds) == 1
        and threshold % 2 == 0
        and 0 <= threshold < RAISED
        and all(2 * max(0, -each.lowest) + threshold < RAISED for each in neurons)
        and all(max(0, each.highest) <= RAISED + threshold // 2 for each in neurons)
        and all(largest_sum(layer) < RAISED for layer in maps)
    )


def largest_sum(layer: Layer) -> int:
    """The largest sum of mantissas that a map forms before it adds them to a stream."""
    if isinstance(layer, Convolution) and layer.groups == 1:
        weight = layer.weight.reshape(len(layer.weight), -1)
    elif isinstance(layer, Blocks):
        repeats = layer.kernels.shape[2] ** np.arange(layer.kernels.shape[0]).reshape(-1, 1, 1, 1, 1, 1)
        weight = (layer.kernels * repeats).reshape(-1, layer.kernels.shape[4] * layer.kernels.shape[5])
    else:
        return 0
    unit = common_power(layer.weight if isinstance(layer, Convolution) else layer.kernels)
    return int(np.abs(weight).sum(axis=1).max(initial=0)) // unit


def _require_32_bits(neurons: list[Neurons]) -> None:
    for each in neurons:
        needed = max(2 * abs(each.lowest), abs(each.highest) + abs(each.threshold))
        if needed > LARGEST:
            raise GraphError(
                f"node {each.name}: currents {each.lowest} to {each.highest} and threshold {each.threshold} need "
                f"{needed.bit_length() + 1} bits, C is written for 32: use fewer channels, or quantise anew"
            )
