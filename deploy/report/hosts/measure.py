"""Timed calls of an encoder, warm, with an energy counter around them where there is one."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.backends.encoders import Encoder, load_encoder
from deploy.backends.events.encoder import EventsEncoder
from deploy.backends.onnx_backend import OnnxEncoder
from deploy.report.hosts.counters import Counter, Metering, Nvml, Rapl
from deploy.report.hosts.meter import energy_per_code
from deploy.report.hosts.results import Energy, Run, Seconds, Source, Window
from export.synaptic.counts import network_id
from spikinghash.errors import MissingToolError

WARMUP = 3
"""Calls before the timed ones: caches, thread pools and lazy allocations."""


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    repetitions: int
    """Timed calls at least."""
    seconds: float
    """Time that the timed calls fill at least."""


@dataclass(frozen=True)
class Idle:
    """Power of the idle machine, by the source of the counter."""

    window: Window
    watts: dict[Source, float]


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


def measure_idle(counters: dict[Source, Counter], seconds: float) -> Idle:
    """Wait ``seconds`` and read every counter before and after."""
    before = {source: counter.read() for source, counter in counters.items()}
    start = time.time()
    time.sleep(seconds)
    window = Window(start=start, end=time.time())
    watts = {source: (counter.read() - before[source]) / window.seconds for source, counter in counters.items()}
    return Idle(window, watts)


def measure(
    path: Path,
    frames: NDArray[np.uint8],
    plan: Plan,
    counters: dict[Source, Counter],
    reasons: dict[Source, str],
    idle: Idle,
) -> Run:
    """Encode ``frames`` (B, T, 2, H, W), one batch, again and again.

    Args:
        path: the encoder; its suffix chooses the runtime.
        counters: readable energy counters by source.
        reasons: why the others cannot be read.
    """
    encoder = load_encoder(path)
    device = device_of(encoder)
    source: Source = "nvml" if device.startswith("cuda") else "rapl"
    times, window, joules = timed(lambda: encoder.encode(frames), plan, counters.get(source))
    codes = len(times) * len(frames)
    energy = Energy(reason=reasons.get(source))
    if joules is not None:
        energy = energy_per_code(joules, idle.watts[source], window, codes, source, counters[source].covers)
    return Run(
        encoder=path.name,
        network=network_id(path),
        runtime=encoder.backend,
        device=device,
        threads=_threads(encoder),
        batch=len(frames),
        warmup=WARMUP,
        repetitions=len(times),
        seconds=summary(times),
        window=window,
        energy=energy,
    )


def _threads(encoder: Encoder) -> int | None:
    """Threads that it computes on; ``None`` for the runtime's own default."""
    if isinstance(encoder, EventsEncoder):
        return encoder.threads
    if encoder.backend == "torch":
        import torch

        return torch.get_num_threads()
    return 1 if encoder.backend == "nir" else None


def device_of(encoder: Encoder) -> str:
    """``cuda`` where ONNX Runtime has chosen a GPU, else ``cpu``."""
    if isinstance(encoder, OnnxEncoder) and "CUDAExecutionProvider" in encoder.providers:
        return "cuda"
    return "cpu"


def timed(
    call: Callable[[], object], plan: Plan, counter: Counter | None
) -> tuple[NDArray[np.float64], Window, float | None]:
    """Seconds of each timed call after the warm-up, the window of all of them, and the joules in it."""
    for _ in range(WARMUP):
        call()
    metering = None if counter is None else Metering(counter)
    with metering or nullcontext():
        times, window = _repeat(call, plan)
    return times, window, None if metering is None else metering.joules


def _repeat(call: Callable[[], object], plan: Plan) -> tuple[NDArray[np.float64], Window]:
    times: list[float] = []
    start, begin = time.time(), time.perf_counter()
    while len(times) < plan.repetitions or time.perf_counter() - begin < plan.seconds:
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return np.array(times), Window(start=start, end=start + time.perf_counter() - begin)


def summary(times: NDArray[np.float64]) -> Seconds:
    """Percentiles of the calls' times."""
    p50, p95 = np.percentile(times, (50, 95))
    return Seconds(p50=float(p50), p95=float(p95), mean=float(times.mean()), min=float(times.min()))
