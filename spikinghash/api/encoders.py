"""Encoders: from recordings, frames or a stream of events to binary codes."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.backends import encoders
from deploy.backends.encoder import Codes, Frames, RunNumbers, Trace
from deploy.backends.run import encode_recordings
from deploy.search.stream import WindowCode, encode_stream
from spikinghash.api.recordings import EventsLike, Sensor, as_events, as_recording, sensor_size
from spikinghash.errors import RecordingError, SpikinghashError
from spikinghash.extras import told_of_extras
from spikinghash.resources import CHECKPOINTS, named
from training.data.facts import crop_of
from training.data.reader import Reader
from training.data.recordings import Recording, load_recording


class Encoder:
    """A loaded encoder; ``load`` makes one. Codes are packed: bit 0 is the highest bit of the first byte.

    >>> encoder = load("digits")
    >>> encoder.time_steps, encoder.size, encoder.bits
    (4, 32, 32)
    """

    def __init__(self, encoder: encoders.Encoder) -> None:
        self._encoder = encoder

    @property
    def backend(self) -> str:
        """What it runs on."""
        return self._encoder.backend

    @property
    def time_steps(self) -> int:
        """Frames of a recording, T."""
        return self._encoder.time_steps

    @property
    def size(self) -> int:
        """Height and width of a frame, in pixels."""
        return self._encoder.size

    @property
    def bits(self) -> int:
        """Of a code, K; of a classification head, the number of classes."""
        return self._encoder.bits

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of a classification head; empty where the answers are codes.

        >>> load("digits").classes
        ()
        """
        return self._encoder.classes

    def encode(self, events_or_frames: EventsLike, sensor: Sensor | None = None) -> Codes:
        """The code of one recording, or the codes of a batch of frames.

        Args:
            events_or_frames: events of one recording, in any form of ``to_frames``; or frames of zeros and ones,
                uint8 or bool, (T, 2, size, size), or (B, T, 2, size, size) of B recordings.
            sensor: width and height of the sensor in pixels, for arrays of events.

        Returns:
            Packed code (K/8,), uint8; of a batch (B, K/8). With a classification head spikes per class, int32 (K,) or
            (B, K): the class is that of the largest, of several the first.

        Raises:
            RecordingError: the events cannot be of one recording, or their sensor is not known.
            SpikinghashError: the frames are of another shape, or hold other values than 0 and 1.

        >>> encoder, recording = load("digits"), read_events(example("7"))
        >>> encoder.encode(recording).tobytes().hex()
        '8ed1c341'
        >>> frames = to_frames(recording, encoder.time_steps, encoder.size)
        >>> encoder.encode(frames[None]).shape
        (1, 4)
        """
        frames, batch = self._frames(events_or_frames, sensor)
        codes = self._encoder.encode(frames)
        return codes if batch else codes[0]

    def encode_files(self, paths: Iterable[str | Path], sensor: Sensor | None = None) -> Codes:
        """Packed codes (B, K/8) of files of recordings, in their order.

        An encoder that was trained on windows of recordings cuts them alike: B is then the number of all windows.

        Args:
            paths: recordings, in any format that ``read_events`` takes.
            sensor: width and height in pixels, for files that do not tell them.

        Raises:
            RecordingError: a recording cannot be used.

        >>> load("digits").encode_files([example("7"), example("1")]).shape
        (2, 4)
        """
        reader = Reader.of(self._encoder.data, sensor_size(sensor))
        files = [Path(path) for path in paths]
        return encode_recordings(self._encoder, files, reader) if files else np.zeros((0, self.bits // 8), np.uint8)

    def stream(
        self,
        source: str | Path | Recording | NDArray[Any] | Iterable[NDArray[Any]],
        window: int,
        hop: int | None = None,
        sensor: Sensor | None = None,
    ) -> Iterator[WindowCode]:
        """The code of each sliding window, as soon as its last event has come.

        Args:
            source: a file, or a recording or its events in one array; or chunks of events as they come, each an array
                as ``encode`` takes it, empty ones included.
            window: its length in microseconds.
            hop: microseconds from the start of a window to the start of the next; by default a window.
            sensor: width and height in pixels, where the source does not tell them.

        Yields:
            ``start`` and ``end`` of a window in microseconds, and its packed ``code`` (K/8,); None where it holds too
            few events.

        Raises:
            SpikinghashError: a length cannot be used.
            RecordingError: an event lies outside the sensor or before an earlier one; the sensor is not known.

        >>> windows = list(load("digits").stream(example("7"), window=100_000))
        >>> [window.end - window.start for window in windows]
        [100000, 100000, 100000]
        """
        hop = window if hop is None else hop
        if isinstance(source, str | Path):
            source = load_recording(Path(source), sensor_size(sensor))
        if isinstance(source, Recording | np.ndarray):
            source = as_recording(source, sensor)
            return encode_stream([source.events], self._encoder, window, hop, source.sensor)
        told = sensor_size(sensor)
        if told is None:
            raise RecordingError("stream: its chunks do not tell the size of the sensor; give sensor=(width, height)")
        return encode_stream(map(as_events, source), self._encoder, window, hop, told)

    def trace(self, events_or_frames: EventsLike, sensor: Sensor | None = None) -> Trace:
        """``encode``, with what the layers did.

        Returns:
            ``codes`` (B, K/8); ``counts``, the spikes of each layer by its name, (B,); ``spikes`` (B, T, C, H, W) where
            the backend shows them. One recording is a batch of one.

        Raises:
            RecordingError, SpikinghashError: as ``encode``.

        >>> trace = load("digits").trace(read_events(example("7")))
        >>> trace.codes.shape, trace.counts["hash_lif"].shape, trace.spikes["hash_lif"].shape
        ((1, 4), (1,), (1, 4, 32, 1, 1))
        """
        return self._encoder.trace(self._frames(events_or_frames, sensor)[0])

    def _frames(self, given: EventsLike, sensor: Sensor | None) -> tuple[Frames, bool]:
        """Frames (B, T, 2, H, W), and whether a batch of them was given."""
        if isinstance(given, np.ndarray) and given.ndim > 2:
            if given.dtype not in (np.uint8, np.bool_) or given.ndim not in (4, 5):
                raise SpikinghashError(
                    f"frames: {given.dtype} {given.shape}; needed are uint8 or bool of shape (T, 2, {self.size}, "
                    f"{self.size}) or (B, T, 2, {self.size}, {self.size}), with T = {self.time_steps}"
                )
            frames = given.astype(np.uint8, copy=False)
            return (frames, True) if given.ndim == 5 else (frames[None], False)
        recording = replace(as_recording(given, sensor), crop=crop_of(self._encoder.data))
        return recording.frames(self.time_steps, self.size)[None], False


def load(path: str | Path, backend: str | None = None, *, numbers: RunNumbers = "integer", threads: int = 0) -> Encoder:
    """Load an encoder.

    Args:
        path: an .onnx model, a .nir graph or a checkpoint (.pt, which takes the extra ``export``); or the name of an
            encoder that comes along, ``digits`` or ``nmnist``.
        backend: what it runs on, by default the first of: ``events``, ``numpy``, ``onnxruntime`` (.onnx); ``events``,
            ``numpy``, ``torch`` (.pt); ``nir``, ``lava`` or a simulator (.nir). Within the certificate all give the
            same codes.
        numbers: the integer network; ``float``, of a checkpoint; ``fixed``, Loihi's fixed point, of a .nir on Lava.
        threads: of ``events``, ``onnxruntime`` and ``torch``; 0 for all cores.

    Raises:
        SpikinghashError: the file cannot be used, or the backend does not run it.

    >>> load("digits").backend
    'events'
    """
    file = named(path, CHECKPOINTS, ".onnx")
    with told_of_extras():
        return Encoder(encoders.load_encoder(file, backend, numbers, threads, warming=True))
