"""What an encoder has to do before anything is lowered: records that are kept in the metadata of an exported file.

An accelerator runs the linear maps and neurons of the encoder, a processor its ONNX graph; neither runs the delay
lines, clocks and gates that only chips without products and time blocks need.
"""

import base64
import zlib
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from spikinghash.errors import GraphError

FLOAT_BITS = 32
"""Of a float weight, current or potential."""

LARGEST_SOURCE = 2**25
"""Neurons of a population whose fan-out is kept."""

Amount = Annotated[int, Field(ge=0, le=2**53)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)  # keys of former versions, such as ``macs``, are passed over


class LinearMap(_Record):
    """A linear map of spikes, or the coincidence counts of an attention."""

    name: str
    source: str
    """Population whose spikes it reads."""
    target: str
    """The first population that it drives; others read the residual stream that it adds to."""
    weights: Amount
    """Stored and not zero: a kernel once, and of a block map each value that its structure repeats once."""
    weight_bits: Amount
    """Of the widest stored weight, a common power of two taken out; 32 for floats."""
    fan_out: str
    """Synapses that leave each source neuron, (C, H, W) in C order: int32, compressed by zlib, in base64."""

    def synapses(self) -> NDArray[np.int64]:
        """``fan_out`` as an array, (neurons of the source,).

        Raises:
            GraphError: it is damaged, or claims more neurons than is good.
        """
        try:
            unpacking = zlib.decompressobj()
            content = unpacking.decompress(base64.b64decode(self.fan_out), 4 * LARGEST_SOURCE)
            if not unpacking.eof:
                raise ValueError(f"cut, or of more than {LARGEST_SOURCE:,} neurons")
            return np.frombuffer(content, np.int32).astype(np.int64)
        except (ValueError, zlib.error) as error:
            raise GraphError(f"map {self.name}: its fan-out cannot be read: {error}: export it again") from None


def packed(fan_out: NDArray[np.int64]) -> str:
    """An array as ``LinearMap.fan_out`` keeps it."""
    return base64.b64encode(zlib.compress(fan_out.astype(np.int32).tobytes(), 9)).decode()


class Neurons(_Record):
    """One population of neurons."""

    name: str
    neurons: Amount
    state_bits: Amount
    """Of a membrane potential, as certified; 32 for floats."""
    current_bits: Amount
    """Of the sum of the currents that arrive in a step."""
    stream_accesses: Amount
    """Times that the current of a neuron and step is read from the residual stream or written to it: 0 to 2."""
    adds: Amount
    """Additions per neuron and step beside its synapses and its own update: biases, and what the stream held."""
    multiplies: Amount
    """Multiplications per neuron and step: the scale of an attention."""


class OnnxWork(_Record):
    """What the ONNX graph does for one recording."""

    macs: Amount
    operations: Amount
    """Additions, multiplications, comparisons and conversions beside the multiply-accumulates."""
    values_moved: Amount
    """Activations that the nodes read and write, were nothing kept in a cache."""
    weights: Amount
    """Values of the file's constants, but those that only say a shape."""
    input_bytes: Amount


class Work(_Record):
    """The encoder in its two natural forms."""

    maps: tuple[LinearMap, ...]
    neurons: tuple[Neurons, ...]
    onnx: OnnxWork


def weight_bits(weights: NDArray[np.float64]) -> int:
    """Bits of the widest mantissa of one map: signed whole numbers, a common power of two taken out as exponent.

    32 for weights that are not whole numbers.
    """
    if not np.array_equal(weights, np.round(weights)):
        return FLOAT_BITS
    whole = weights.astype(np.int64)
    if not len(whole):
        return 1
    common = int(np.gcd.reduce(whole))
    mantissas = whole // (common & -common)
    return 1 + max(max(0, int(-mantissas.min()) - 1).bit_length(), max(0, int(mantissas.max())).bit_length())
