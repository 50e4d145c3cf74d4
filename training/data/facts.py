"""What the recordings were that a network was trained on, kept in its checkpoint and in every file made from it.

So each command cuts recordings as the training did, and can tell which ones are unlike those that the network knows.
"""

import math
from statistics import median
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from training.data.binning import Crop, square_side
from training.data.events import LARGEST_SIDE
from training.data.recordings import Recording, SensorSize
from training.data.stills import Still
from training.data.windows import Windows

QUANTILES = (0.01, 0.5, 0.99)
"""Of what is kept of the training recordings."""
FULLER, EMPTIER = 1.5, 0.5
"""Frames that are so many times as full as the fullest (emptiest) hundredth of those trained on are warned of."""
LONGER = 2.0
"""As are recordings so many times as long, or as short, ..."""
LARGER = 1.25
"""... and sensors so many times as wide."""
FULL = 0.3
"""Share of the frame beyond which it is hardly a picture."""

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
Microseconds = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]


class DataFacts(BaseModel):
    """The training recordings of a network. What is not known is absent."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    classes: tuple[str, ...] = ()
    """Names, in the order of their numbers."""
    window_us: Microseconds | None = None
    """Length of the windows that recordings were cut into; ``None``: not cut."""
    hop_us: Microseconds | None = None
    sensor: tuple[Pixels, Pixels] | None = None
    """Width and height, where all recordings have the same."""
    crop: Crop | None = None
    """Which square of the sensor becomes the frame; absent in files of before there was a choice."""
    fill: tuple[Share, Share, Share] | None = None
    """Quantiles of the share of ones in the frames of a window."""
    seconds: tuple[Seconds, Seconds, Seconds] | None = None
    """Quantiles of the time from a window's first to its last event."""

    @property
    def windows(self) -> Windows | None:
        """How recordings were cut."""
        return Windows.of_us(self.window_us, self.hop_us)

    @property
    def cut(self) -> str:
        """How recordings were cut, in words."""
        if self.window_us is not None:
            return str(self.windows)
        return "whole recordings" + ("" if self.seconds is None else f" of {_span(self.seconds)}")

    def lasted(self, seconds: float) -> bool:
        """Whether recordings of the training lasted about so long; of files that do not tell, none did."""
        return self.seconds is not None and self.seconds[0] / LONGER <= seconds <= self.seconds[2] * LONGER

    @property
    def sensor_size(self) -> SensorSize | None:
        """The sensor as decoders take it."""
        return None if self.sensor is None else (*self.sensor, 2)


def crop_of(facts: DataFacts | None) -> Crop | None:
    """Which square of the sensor becomes the frame of a network that was trained on ``facts``."""
    return None if facts is None else facts.crop


def quantiles(values: NDArray[np.floating]) -> tuple[float, float, float]:
    """``QUANTILES`` of ``values``, which are not empty, to four digits."""
    low, middle, high = (float(f"{value:.4g}") for value in np.quantile(values, QUANTILES))
    return low, middle, high


def fill_of(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of ones in the frames (B, T, 2, H, W) of each window, (B,)."""
    counts = [np.count_nonzero(each) for each in frames.view(bool)]  # fast where bytes are truth values
    return np.array(counts, np.float64) / max(1, math.prod(frames.shape[1:]))


def unlike(facts: DataFacts | None, parts: list[Recording], frames: NDArray[np.uint8]) -> list[str]:
    """Why the codes of the windows ``parts`` of one recording, binned to ``frames``, may mean nothing.

    Each a line with the figure and the remedy; none where they are like those that the network was trained on.
    """
    if isinstance(parts[0], Still):  # it has no duration, no sensor, and no windows as a remedy
        return []
    facts, fill = facts or DataFacts(), median(fill_of(frames).tolist())
    seconds = median(part.span / 1e6 for part in parts)
    return [*_sensor(facts, parts[0], frames.shape[-1]), *_fill(facts, fill), *_duration(facts, seconds)]


def _fill(facts: DataFacts, fill: float) -> list[str]:
    if facts.fill is None:
        told = f"{fill:.0%} of the frames is on, which is hardly a picture: cut it into windows (--window MS)"
        return [told] if fill > FULL else []
    low, _, high = facts.fill
    known = f"those trained on have {low:.1%} to {high:.1%}"
    if fill > FULLER * high:
        return [
            f"{fill:.1%} of its frames is on, {known}: its code may mean nothing; use shorter windows (--window MS)"
        ]
    if fill < EMPTIER * low:
        return [f"{fill:.1%} of its frames is on, {known}: its code may mean nothing; use longer windows (--window MS)"]
    return []


def _duration(facts: DataFacts, seconds: float) -> list[str]:
    if facts.seconds is None or facts.lasted(seconds):
        return []
    longer = seconds > facts.seconds[2]
    remedy = "--window MS cuts it" if longer else "it may be cut off; longer windows (--window MS) or recordings"
    return [f"it lasts {seconds:.3g} s, those trained on {_span(facts.seconds)}: {remedy}"]


def _span(seconds: tuple[float, float, float]) -> str:
    return f"{seconds[0]:.3g} to {seconds[2]:.3g} s"


def _sensor(facts: DataFacts, part: Recording, size: int) -> list[str]:
    if facts.sensor is None:
        return []
    side, known = square_side(part.sensor[:2], size, part.crop), square_side(facts.sensor, size, facts.crop)
    if known / LARGER <= side <= known * LARGER:
        return []
    told, trained = ("x".join(map(str, size[:2])) for size in (part.sensor, facts.sensor))
    return [f"its sensor has {told} pixels, that of the training {trained}: things have another size in its frames"]
