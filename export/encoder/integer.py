"""The integer network as records and arrays: all that a runtime of its own needs, without torch.

It is written into an ONNX file beside the operators, as text in the model's metadata, so that it can be read without
a library for ONNX.
"""

import base64
import io
import json
from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from export.encoder.haar import BlockMap
from spikinghash.arrays import unpack_archive
from spikinghash.errors import GraphError
from spikinghash.seal import parse_json

Whole = NDArray[np.int64]
Shape = tuple[int, int, int]

KEY = "spikinghash_integer"
"""Under which the text is kept in ONNX's model metadata."""

LARGEST = 2**53
"""Of a number, on either side of zero."""
FORMAT = 1
"""Version of the text; a reader refuses any other."""


@dataclass(frozen=True)
class Layer:
    """A node of the integer graph; shapes are (C, H, W) of what it sends."""

    name: str
    sources: tuple[str, ...]
    shape: Shape
    kind: ClassVar[str] = ""


@dataclass(frozen=True)
class Convolution(Layer):
    """A linear map; a dense one has a kernel as large as its input."""

    weight: Whole
    """(out, in / groups, kernel height, kernel width)."""
    bias: Whole
    """(out,)."""
    stride: int = 1
    padding: int = 0
    groups: int = 1
    kind: ClassVar[str] = "convolution"

    def whole(self) -> Whole:
        """The weight in one group."""
        out, inner, *kernel = self.weight.shape
        result = np.zeros((self.groups, out // self.groups, self.groups, inner, *kernel), np.int64)
        for group, rows in enumerate(self.weight.reshape(self.groups, -1, inner, *kernel)):
            result[group, :, group] = rows
        return result.reshape(out, self.groups * inner, *kernel)


@dataclass(frozen=True)
class Blocks(Layer):
    """A wave mixer: see ``BlockMap``."""

    kernels: Whole
    members: Whole
    bias: Whole
    sides: tuple[int, int, int]
    kind: ClassVar[str] = "blocks"

    @property
    def block_map(self) -> BlockMap:
        """The map of a block."""
        return BlockMap(self.kernels, self.members, self.sides)


@dataclass(frozen=True)
class Coincidences(Layer):
    """``weight * Q (K^T V)`` per head; the source holds q, k and v as thirds of its channels, head by head."""

    heads: int
    weight: int
    kind: ClassVar[str] = "coincidences"

    def counts(self, spikes: NDArray[np.uint8]) -> Whole:
        """``Q (K^T V)`` of spikes (T, 3 C, ...): (T, C, H, W)."""
        thirds = spikes.reshape(len(spikes), 3, self.heads, -1, self.shape[1] * self.shape[2]).swapaxes(0, 1)
        query, key, value = thirds.astype(np.int64)
        return (value @ key.swapaxes(-1, -2) @ query).reshape(len(spikes), *self.shape)


@dataclass(frozen=True)
class Neurons(Layer):
    """``v <- v/2 + a; s = [v > threshold]``, the threshold a hair above a whole number."""

    threshold: int
    lowest: int
    """Smallest current that any input can cause in one step, as certified."""
    highest: int
    kind: ClassVar[str] = "neurons"


@dataclass(frozen=True)
class Vote(Layer):
    """A bit is 1 if the source's neuron spiked in at least ``votes`` steps."""

    votes: int
    kind: ClassVar[str] = "vote"


@dataclass(frozen=True)
class Tally(Layer):
    """How often each of the source's neurons, one per class, spiked in the window."""

    kind: ClassVar[str] = "tally"


_KINDS: dict[str, type[Layer]] = {each.kind: each for each in (Convolution, Blocks, Coincidences, Neurons, Vote, Tally)}


@dataclass(frozen=True)
class IntegerNetwork:
    """An encoder's integer network, layers in the order in which they are computed; the frames are named ``input``."""

    time_steps: int
    size: int
    vote: Vote | Tally
    layers: tuple[Layer, ...]
    """Without the vote."""
    populations: tuple[str, ...]
    """What is counted, in the order of the ONNX model's ``spike_counts``."""
    classes: tuple[str, ...] = ()
    """Names, of a network with a classification head."""

    @property
    def bits(self) -> int:
        """Of a code; with a classification head, the number of classes."""
        return self.vote.shape[0]

    def answers(self, counts: NDArray[np.signedinteger[Any]]) -> NDArray[Any]:
        """The answers (B, ...) of spike counts (B, K) of the last neurons: packed codes (B, K/8), or the counts."""
        if isinstance(self.vote, Tally):
            return counts.astype(np.int32)
        return np.packbits(counts >= self.vote.votes, axis=1)

    def to_text(self) -> str:
        """As text, for a file's metadata; ``from_text`` reads it."""
        arrays: dict[str, Any] = {}
        layers = [_header(layer, arrays) for layer in (*self.layers, self.vote)]
        about = {"time_steps": self.time_steps, "size": self.size, "populations": self.populations, "layers": layers}
        if self.classes:
            about["classes"] = self.classes
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        return json.dumps({"format": FORMAT, "network": base64.b64encode(file.getvalue()).decode()})

    @classmethod
    def from_text(cls, text: str, source: str) -> "IntegerNetwork":
        """Read what ``to_text`` wrote; ``source`` is named in messages.

        Raises:
            GraphError: it is damaged, or of another version.
        """
        try:
            content = parse_json(text)
            version, packed = content["format"], content["network"]
        except (ValueError, KeyError, TypeError):
            raise GraphError(f"{source}: its integer network is no JSON of this project: export it again") from None
        if version != FORMAT:
            raise GraphError(
                f"{source}: its integer network has format {version}, this version reads {FORMAT}: export it again"
            )
        try:
            arrays = unpack_archive(io.BytesIO(base64.b64decode(packed)))
            about = parse_json(arrays["about"].tobytes())
            *layers, vote = (_layer(header, arrays) for header in about["layers"])
            if not isinstance(vote, Vote | Tally):
                raise TypeError("the last layer is no vote")
            populations, classes = (_checked(tuple[str, ...], about.get(key, [])) for key in ("populations", "classes"))
            time_steps, size = (_checked(int, about[key]) for key in ("time_steps", "size"))
            return cls(time_steps, size, vote, tuple(layers), populations, classes)
        except Exception as error:  # zip, NumPy and JSON each raise their own kinds
            kind = type(error).__name__
            raise GraphError(f"{source}: its integer network is damaged ({kind}): export it again") from None


def _header(layer: Layer, arrays: dict[str, Any]) -> dict[str, Any]:
    """A layer's numbers; its arrays are put among ``arrays``, as narrow as they can be."""
    values = {field.name: getattr(layer, field.name) for field in fields(layer)}
    header: dict[str, Any] = {"kind": layer.kind}
    for key, value in values.items():
        if isinstance(value, np.ndarray):
            arrays[f"{layer.name}/{key}"] = value.astype(np.min_scalar_type(-1 - int(np.abs(value).max(initial=0))))
        else:
            header[key] = value
    return header


def _layer(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Any:
    """The layer that ``_header`` took apart.

    Raises:
        KeyError, TypeError, ValueError: something is missing, of another type, or too large.
    """
    kind = _KINDS[header.pop("kind")]
    types = {field.name: field.type for field in fields(kind)}
    values: dict[str, Any] = {key: _checked(types[key], value) for key, value in header.items()}
    for key in types.keys() - header.keys():
        values[key] = _whole(arrays[f"{header['name']}/{key}"])
    return kind(**values)


def _whole(array: NDArray[Any]) -> Whole:
    if array.dtype.kind not in "iu" or (array.size and max(int(array.max()), -int(array.min())) > LARGEST):
        raise ValueError("an array of other values than whole numbers, or of too large ones")
    return array.astype(np.int64)


def _checked(kind: Any, value: Any) -> Any:
    """``value`` as JSON has it, if it is of the type ``kind``: int, str, or a tuple of them."""
    if kind in (int, str):
        if type(value) is not kind or (kind is int and abs(value) > LARGEST):
            raise TypeError(f"{str(value)[:40]!r} is no {kind.__name__}, or too large")
        return value
    kinds = get_args(kind)
    if not isinstance(value, list) or not kinds:
        raise TypeError(f"{str(value)[:40]!r} is no list")
    kinds = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
    return tuple(_checked(each, item) for each, item in zip(kinds, value, strict=True))
