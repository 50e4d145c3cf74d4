"""The backend ``events``: an encoder's integer network on the CPU, recordings in parallel, no torch."""

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.backends.encoder import Codes, Frames, Trace, checked_frames
from deploy.backends.events import kernels
from deploy.backends.events.plan import Planner, Program
from deploy.backends.events.tables import aligned
from export.encoder.integer import Coincidences, IntegerNetwork, Neurons
from training.data.facts import DataFacts

_LEAST = 4
"""Recordings of a thread: fewer take less time than to wake one."""


class Buffers:
    """What one thread works in."""

    def __init__(self, program: Program) -> None:
        sizes, self._program = program.sizes, program
        self.words = aligned(sizes["words"], np.uint64)
        self.potentials = aligned(max(sizes["potentials"], sizes["states"]), program.width.dtype)
        self.current = aligned(sizes["current"], np.uint64)
        self.spikes = aligned(sizes["spikes"], np.uint8)
        self.choices = aligned(sizes["choices"], np.uint16)
        self.answers = aligned(kernels.BY_QUAD, np.uint64)
        self.seen = aligned(sizes["seen"], np.uint16)

    def run(
        self,
        frames: Frames,
        votes: NDArray[np.int32],
        start: int,
        stop: int,
        steps: NDArray[np.void] | None = None,
        resting: bool = True,
    ) -> None:
        """Write the votes (B, K) of the recordings ``start`` to ``stop``.

        Args:
            steps: one of the programs; by default the one that forgets all it can.
            resting: whether the neurons begin at rest.
        """
        program = self._program
        kernels.encode(
            frames, program.steps if steps is None else steps, program.look_up, program.table, self.words,
            self.potentials, self.current, self.spikes, self.choices, self.answers, self.seen, program.ballot, votes,
            start, stop, resting,
        )  # fmt: skip


class EventsEncoder:
    """An integer network, compiled. May be used from several threads at once.

    Args:
        network: the encoder.
        threads: cores to use, one recording on each; 0 for all.
        data: what it was trained on, where that is known.
    """

    backend = "events"

    def __init__(self, network: IntegerNetwork, threads: int = 0, data: DataFacts | None = None) -> None:
        self.network, self.data = network, data
        self.time_steps, self.size, self.bits = network.time_steps, network.size, network.bits
        self.classes = network.classes
        self.threads = threads or _cores()
        self._program = Planner(network).program()
        self._buffers: SimpleQueue[Buffers] = SimpleQueue()
        self._pool: ThreadPoolExecutor | None = None

    @property
    def arithmetic(self) -> str:
        """What currents and potentials are held in."""
        return f"int{self._program.width.bits}"

    def encode(self, frames: Frames) -> Codes:
        """Packed codes (B, K/8) of frames (B, T, 2, H, W)."""
        frames = checked_frames(frames, self.time_steps, self.size)
        votes = np.empty((len(frames), self.bits), np.int32)
        parts = max(1, min(self.threads, len(frames) // _LEAST))
        if parts == 1:
            self._with_buffers(lambda buffers: buffers.run(frames, votes, 0, len(frames)))
        else:
            self._pool = self._pool or ThreadPoolExecutor(self.threads, "events")
            borders = [len(frames) * part // parts for part in range(parts + 1)]
            done = self._pool.map(
                lambda part: self._with_buffers(lambda buffers: buffers.run(frames, votes, *part)),
                itertools.pairwise(borders),
            )
            list(done)
        return self.network.answers(votes)

    def trace(self, frames: Frames) -> Trace:
        """``encode``, with the activity of the layers."""
        frames = checked_frames(frames, self.time_steps, self.size)
        votes = np.empty((len(frames), self.bits), np.int32)
        layers: dict[str, list[NDArray[Any]]] = {name: [] for name in self.network.populations}

        def run(buffers: Buffers) -> None:
            for number in range(len(frames)):
                buffers.run(frames, votes, number, number + 1, self._program.traced)
                for name, spikes in self._spikes(buffers):
                    layers[name].append(spikes)

        self._with_buffers(run)
        spikes = {name: _stacked(parts, self._shape(name)) for name, parts in layers.items()}
        counts = {name: value.sum(axis=(1, 2, 3, 4), dtype=np.int64) for name, value in spikes.items()}
        return Trace(self.network.answers(votes), counts, spikes)

    def _with_buffers(self, work: Callable[[Buffers], None]) -> None:
        """Do ``work`` in buffers that nobody else uses meanwhile."""
        buffers = Buffers(self._program) if self._buffers.empty() else self._buffers.get()
        try:
            work(buffers)
        finally:
            self._buffers.put(buffers)

    def _spikes(self, buffers: Buffers) -> Iterator[tuple[str, NDArray[Any]]]:
        """Spikes (T, C, H, W) of each population of the last recording; of a product, its coincidences."""
        for layer in self.network.layers:
            if isinstance(layer, Neurons):
                place = self._program.populations[layer.name]
                count = self.time_steps * place.places * place.lanes
                lanes = buffers.spikes[place.spikes : place.spikes + count].reshape(self.time_steps, -1, place.lanes)
                spikes = np.ascontiguousarray(lanes[:, :, place.lane_of].swapaxes(1, 2))
                yield layer.name, spikes.reshape(self.time_steps, *layer.shape)
                for product in self.network.layers:
                    if isinstance(product, Coincidences) and product.sources == (layer.name,):
                        yield product.name, product.counts(spikes)

    def _shape(self, name: str) -> tuple[int, ...]:
        (shape,) = (layer.shape for layer in self.network.layers if layer.name == name)
        return self.time_steps, *shape


def _stacked(parts: list[NDArray[Any]], shape: tuple[int, ...]) -> NDArray[Any]:
    return np.stack(parts) if parts else np.zeros((0, *shape), np.uint8)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
