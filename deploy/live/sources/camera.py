"""An event camera that is plugged in, through neuromorphic-drivers."""

from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from deploy.live.source import NOTHING, PATIENCE, events_of
from spikinghash.errors import RecordingError, in_one_line
from spikinghash.extras import told_of_extras
from training.data.events import Events, SensorSize


class Camera:
    """The first camera that is found, with the settings that its driver takes for usual."""

    waits = False

    def __init__(self) -> None:
        """Open it.

        Raises:
            MissingToolError: neuromorphic-drivers is not installed.
            RecordingError: there is none, or it cannot be opened.
        """
        with told_of_extras():
            import neuromorphic_drivers
        try:
            self._device: Any = neuromorphic_drivers.open(iterator_timeout=PATIENCE)
        except Exception as error:  # the library raises RuntimeError and others of its own
            raise RecordingError(
                f"camera: none can be opened: {in_one_line(error)}; is one plugged in, and may you read it?"
            ) from None
        properties = self._device.properties()
        self.sensor: SensorSize | None = (int(properties.width), int(properties.height), 2)
        self.lost: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Events]:
        for _, packet in self._device:
            array = None if packet is None else packet.polarity_events
            if array is None or not len(array):
                yield NOTHING
                continue
            yield events_of(array, "camera")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._device.close()
