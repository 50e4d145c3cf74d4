"""What the un-lowered encoder did on a set of recordings, from the spikes that its lowered graph was seen to emit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from export.encoder.work import LinearMap, Neurons, OnnxWork, Work
from spikinghash.errors import GraphError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MapCounts:
    """One linear map over a set of recordings."""

    map: LinearMap
    synapses: int
    """Not zero, convolutions and blocks unrolled, per time step."""
    synops: Array
    """(samples,) synaptic operations per recording: the fan-out of every spike's source neuron."""


@dataclass(frozen=True)
class NeuronCounts:
    """One population over a set of recordings."""

    neurons: Neurons
    spikes: Array
    """(samples,) per recording."""


@dataclass(frozen=True)
class NaturalCounts:
    """The encoder as accelerators (maps and neurons) and processors (ONNX) run it."""

    maps: tuple[MapCounts, ...]
    neurons: tuple[NeuronCounts, ...]
    onnx: OnnxWork
    input_bits: int
    """Of all frames of a recording: two channels, a bit per pixel."""

    @property
    def synapses(self) -> int:
        """Of all maps."""
        return sum(each.synapses for each in self.maps)

    @property
    def synops(self) -> Array:
        """(samples,) of all maps."""
        total: Array = np.sum([each.synops for each in self.maps], axis=0)
        return total

    def to_values(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "maps": [{"map": each.map.model_dump(), "synops": each.synops} for each in self.maps],
            "neurons": [{"neurons": each.neurons.model_dump(), "spikes": each.spikes} for each in self.neurons],
            "onnx": self.onnx.model_dump(),
            "input_bits": self.input_bits,
        }

    @staticmethod
    def from_values(values: Mapping[str, Any], source: str, samples: int) -> "NaturalCounts":
        """Read what ``to_values`` gave.

        Raises:
            GraphError: something is missing or of another form; the message names ``source``.
        """
        try:
            maps = [(LinearMap.model_validate(each["map"]), _counts(each["synops"])) for each in values["maps"]]
            kinds = [(Neurons.model_validate(each["neurons"]), _counts(each["spikes"])) for each in values["neurons"]]
            onnx, bits = OnnxWork.model_validate(values["onnx"]), int(values["input_bits"])
        except (KeyError, TypeError, ValueError, ValidationError) as error:
            what = str(error).splitlines()[0]
            raise GraphError(f"{source}: natural: {what}: trace the network again") from None
        for counted in [values for _, values in maps] + [values for _, values in kinds]:
            if counted.shape != (samples,) or not (np.isfinite(counted).all() and (counted >= 0).all()):
                raise GraphError(f"{source}: natural: not {samples} counts of 0 or more each: trace the network again")
        return NaturalCounts(
            tuple(MapCounts(each, int(each.synapses().sum()), synops) for each, synops in maps),
            tuple(NeuronCounts(each, spikes) for each, spikes in kinds),
            onnx,
            bits,
        )


def _counts(values: Any) -> Array:
    return np.asarray(values, dtype=np.float64)


def count_natural(work: Work, spikes: Mapping[str, Array], frame_pixels: int, time_steps: int) -> NaturalCounts:
    """Count ``work``.

    Args:
        spikes: of every neuron over all steps, (samples, neurons), by the name of the encoder's population; those of
            ``input`` too.
        frame_pixels: of one frame, both channels.
        time_steps: T.
    """
    maps = []
    for each in work.maps:
        fan_out = each.synapses()
        maps.append(MapCounts(each, int(fan_out.sum()), spikes[each.source] @ fan_out))
    neurons = (NeuronCounts(each, spikes[each.name].sum(axis=1)) for each in work.neurons)
    return NaturalCounts(tuple(maps), tuple(neurons), work.onnx, frame_pixels * time_steps)
