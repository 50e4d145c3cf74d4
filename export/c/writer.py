"""The layers of an integer network as calls of C functions, with their tables."""

from math import prod

import numpy as np

from export.c.packing import BLOCK, RAISED, byte_words, mantissas, neighbours, weight_words
from export.c.program import Program
from export.encoder.integer import Blocks, Coincidences, Convolution, Layer, Neurons, Tally, Vote
from spikinghash.errors import GraphError

LARGEST_ROWS = 2**16
"""Of a table: a list of spikes holds row numbers of 16 bits."""
LARGEST_TOKENS = 2**16 - 1
"""Of an attention: pairs of keys and values are counted in 16 bits."""


class CWriter(Program):
    """Writes a network; its operations write themselves with the methods below."""

    def frames(self) -> None:
        """Where the frames come in."""
        self.call("read_frames", "frames", self.spikes("input"))

    def convolution(self, layer: Convolution) -> None:
        """A linear map: each spike adds a row of weights, of all channels or of those of its group."""
        taps, (channels, _, side) = prod(layer.weight.shape[2:]), self.source(layer)
        weight, stream = mantissas(layer.name, layer.weight), self.stream_of(layer)
        rows = weight.values.transpose(2, 3, 1, 0)  # tap by tap, (rows, columns, in, out)
        self._require_rows(layer, taps * channels)
        window = (channels, layer.weight.shape[2], layer.stride, layer.padding, side, layer.shape[2])
        fields: dict[str, int | str] = {"window": f"{{{', '.join(map(str, window))}}}"}
        fields |= {"shift": weight.shift, "words": stream.words}
        if layer.groups == 1:
            bits = weight.bits if stream.packed else 8
            words = weight_words(rows.reshape(taps * channels, -1), stream.lanes, bits)
            function = f"add_rows_{bits}" if stream.packed else "add_rows_wide"
            self.uses.add(function)
            fields |= {"weights": self.table(f"{layer.name}_weights", "uint32_t", words), "add": function}
            fields |= {"bias": self.bias(layer, layer.bias, RAISED << weight.shift if stream.packed else 0)}
            fields |= {"rows": taps * channels, "blocks": len(words)}
            self.record("convolution", layer, **fields)
            self.add(layer, "convolve")
            return
        out, inner = layer.shape[0] // layer.groups, layer.weight.shape[1]
        bytes_ = byte_words(np.concatenate(np.split(rows, layer.groups, axis=3), axis=2))  # (rows, columns, C, out)
        fields |= {"weights": self.table(f"{layer.name}_weights", "int8_t", bytes_)}
        fields |= {"bias": self.bias(layer, layer.bias), "places": self.places(stream)}
        self.scratch("sums", layer.shape[0])
        self.record("grouped", layer, inner=inner, outer=out, out_channels=layer.shape[0], **fields)
        self.add(layer, "convolve_groups")

    def mixer(self, layer: Blocks) -> None:
        """A wave mixer, level by level: all spikes of a cell add rows to what its children get."""
        levels, groups, children, inner = layer.kernels.shape[:4]
        weight, stream = mantissas(layer.name, layer.kernels), self.stream_of(layer)
        rows = weight.values.transpose(0, 1, 4, 5, 2, 3).reshape(levels * groups, children * inner, children * inner)
        lanes = neighbours(children * inner) if stream.packed else np.arange(children * inner)[:, None]
        words = np.stack([weight_words(each, lanes, 8) for each in rows])
        function = "add_rows_8" if stream.packed else "add_rows_wide"
        self.uses.add(function)
        self._require_rows(layer, children * inner)
        self.scratch("lists", children**levels * inner)
        self.scratch("cell", len(layer.members))
        self.scratch("block", words.shape[1] * BLOCK * self.steps)
        self.record(
            "mixer", layer, add=function,
            weights=self.table(f"{layer.name}_weights", "uint32_t", words), bias=self.bias(layer, layer.bias),
            members=self.table(f"{layer.name}_members", "uint8_t", layer.members), places=self.places(stream),
            channels=layer.shape[0], side=layer.shape[2], words=stream.words, groups=groups,
            children=children, inner=inner, count=len(layer.members), steps=layer.sides[0],
            rows=layer.sides[1], columns=layer.sides[2],
            blocks=words.shape[1], shift=weight.shift, packed=int(stream.packed),
        )  # fmt: skip
        self.add(layer, "mix")

    def product(self, layer: Coincidences) -> None:
        """Self-attention: for each head and step, pairs of keys and values are counted, and queries add them up."""
        channels, tokens, stream = layer.shape[0], prod(layer.shape[1:]), self.stream_of(layer)
        if tokens > LARGEST_TOKENS:
            raise GraphError(
                f"node {layer.name}: attention over {tokens:,} tokens, C is written for {LARGEST_TOKENS:,}: use "
                "smaller frames, or attention in deeper stages alone"
            )
        self.scratch("sums", channels)
        self.scratch("products", channels * (channels // layer.heads))
        self.record(
            "product", layer, bias=self.bias(layer, np.zeros(channels, np.int64)), places=self.places(stream),
            channels=channels, width=channels // layer.heads, tokens=tokens, words=stream.words,
            weight=layer.weight, layer=self.layer_index(layer.name),
        )  # fmt: skip
        self.add(layer, "attend")

    def neurons(self, layer: Neurons) -> None:
        """A population."""
        stream = self.streams[layer.sources[0]]
        self.record(
            "neurons", layer, channels=layer.shape[0], pixels=stream.pixels, stream_words=stream.words,
            level=stream.rest if stream.packed else layer.threshold, layer=self.layer_index(layer.name),
        )  # fmt: skip
        self.fire(layer)

    def vote(self, layer: Vote) -> None:
        """The code."""
        self.call("vote", self.spikes(layer.sources[0]), "code")

    def tally(self, layer: Tally) -> None:
        """The spikes of each class."""
        self.call("tally", self.spikes(layer.sources[0]), "classes")

    def _require_rows(self, layer: Layer, rows: int) -> None:
        if rows > LARGEST_ROWS:
            raise GraphError(
                f"node {layer.name}: {rows:,} weights per neuron, C is written for {LARGEST_ROWS:,}: use fewer channels"
            )
        self.scratch("lists", rows)
