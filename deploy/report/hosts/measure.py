"""Networks in turns on one thread, warm, with an energy counter around the turns where there is one."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.report.hosts.counters import Counter, Metering, Nvml, Rapl
from deploy.report.hosts.meter import energy_per_code
from deploy.report.hosts.results import Energy, Run, Seconds, Source, Subject, Window
from spikinghash.errors import MissingToolError
from spikinghash.progress import track


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int = 5
    """Turns of each network."""
    seconds: float = 2.0
    """That all turns of a network take together at least; a turn is one pass at least."""


@dataclass(frozen=True)
class Power:
    """The energy counters of this machine, and what they tell of it when idle."""

    counters: dict[Source, Counter]
    reasons: dict[Source, str]
    """Why the others cannot be read."""
    idle: Window
    idle_watts: dict[Source, float]


@dataclass(frozen=True)
class Contender:
    """What takes a turn."""

    subject: Subject
    encode: Callable[[NDArray[Any]], object]
    frames: NDArray[Any]
    """(recordings, T, 2, H, W), in the type that it takes."""

    def whole(self) -> None:
        """A pass over all recordings, a batch at a time."""
        for start in range(0, len(self.frames), self.subject.batch):
            self.encode(self.frames[start : start + self.subject.batch])


def open_counters() -> tuple[dict[Source, Counter], dict[Source, str]]:
    """The counters of this machine, and for each that cannot be read the reason."""
    counters: dict[Source, Counter] = {}
    reasons: dict[Source, str] = {}
    makers: dict[Source, Callable[[], Counter]] = {"rapl": Rapl, "nvml": Nvml}
    for source, make in makers.items():
        try:
            counters[source] = make()
        except MissingToolError as error:
            reasons[source] = str(error)
    return counters, reasons


def measure_idle(counters: dict[Source, Counter], reasons: dict[Source, str], seconds: float) -> Power:
    """Wait ``seconds`` and read every counter before and after."""
    before = {source: counter.read() for source, counter in counters.items()}
    start = time.time()
    time.sleep(seconds)
    window = Window(start=start, end=time.time())
    watts = {source: (counter.read() - before[source]) / window.seconds for source, counter in counters.items()}
    return Power(counters, reasons, window, watts)


def measure(contenders: Sequence[Contender], plan: Plan, power: Power) -> tuple[Run, ...]:
    """Let ``contenders`` take turns after a pass of each that does not count."""
    taken = [Taken(each, power) for each in contenders]
    for each in contenders:
        each.whole()
    for _ in track(range(plan.rounds), "measuring", plan.rounds):
        for turns in taken:
            turns.take(plan.seconds / plan.rounds)
    return tuple(turns.run() for turns in taken)


class Taken:
    """The turns that a contender has taken."""

    def __init__(self, contender: Contender, power: Power) -> None:
        self._contender, self._power = contender, power
        self._source: Source = "rapl" if contender.subject.device == "cpu" else "nvml"
        self._counter = power.counters.get(self._source)
        self._spent: list[tuple[float, float]] = []
        self._windows: list[Window] = []
        self._joules = 0.0

    def take(self, seconds: float) -> None:
        """Passes for ``seconds``, one at least."""
        metering = Metering(self._counter) if self._counter else None
        with metering or nullcontext():
            start, begin = time.time(), time.perf_counter()
            self._pass()
            while time.perf_counter() - begin < seconds:
                self._pass()
            self._windows.append(Window(start=start, end=start + time.perf_counter() - begin))
        self._joules += metering.joules if metering else 0.0

    def _pass(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self._contender.whole()
        self._spent.append((time.perf_counter() - wall, time.process_time() - cpu))

    def run(self) -> Run:
        """What they took."""
        recordings = len(self._contender.frames)
        wall, cpu = np.maximum(np.array(self._spent).T, 1e-9) / recordings  # a clock may tick slower than a pass
        return Run(
            **self._contender.subject.model_dump(),
            recordings=recordings,
            passes=len(self._spent),
            cpu=summary(cpu),
            wall=summary(wall),
            windows=tuple(self._windows),
            energy=self._energy(recordings * len(self._spent)),
        )

    def _energy(self, codes: int) -> Energy:
        source = self._source
        if self._counter is None:
            return Energy(reason=self._power.reasons.get(source))
        idle = self._power.idle_watts[source]
        return energy_per_code(self._joules, idle, self._windows, codes, source, self._counter.covers)


def summary(times: NDArray[np.float64]) -> Seconds:
    """Of the times of passes, per code."""
    median, p95 = np.percentile(times, (50, 95))
    return Seconds(least=float(times.min()), median=float(median), p95=float(p95))
