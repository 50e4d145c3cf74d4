"""What the pipeline from files to codes costs, how busy it keeps its workers, and how much memory it holds."""

import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deploy.search.bulk import CHUNK, encode_files

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Pipeline:
    """Costs of the whole pipeline per recording, once every worker has started, and the memory it holds."""

    workers: int
    cpu: float
    """CPU ms per recording, of all processes."""
    clock: float
    """Clock ms per recording."""
    busy: float
    """Share of their time that the workers ran, or were ready to run while other work had the cores."""
    start: float
    """CPU seconds until every worker had answered."""
    memory: tuple[float, float, float]
    """MiB held by all processes after a quarter, half and all of the recordings."""


def resident(process: int | str = "self") -> float:
    """Bytes of memory that ``process`` holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def cpu_seconds(process: int | str = "self") -> float:
    """CPU seconds that ``process`` has taken, its threads together."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS  # utime, stime: proc(5)


def measure_pipeline(paths: list[Path], encoder: Path, workers: int) -> Pipeline:
    """Costs of encoding ``paths``, of which there must be more than ``3 * workers`` chunks."""
    samples = [_sample()]
    samples += [_sample() for _ in encode_files(paths, encoder, workers)]
    begin, started, end = samples[0], samples[2 * workers], samples[-1]  # each worker has answered by then
    count = len(paths) - 2 * workers * CHUNK
    spent, clock = end.cpu - started.cpu, end.clock - started.clock
    quarter, half = samples[len(samples) // 4], samples[len(samples) // 2]
    return Pipeline(
        workers=workers,
        cpu=1e3 * spent / count,
        clock=1e3 * clock / count,
        busy=(end.busy - started.busy) / clock / workers,
        start=started.cpu - begin.cpu,
        memory=(quarter.memory, half.memory, end.memory),
    )


class _Sample(NamedTuple):
    clock: float
    cpu: float
    """CPU seconds of this process and its workers."""
    busy: float
    """Seconds that the workers, or without workers this process, ran or were ready to run."""
    memory: float
    """MiB of this process and its workers."""


def _sample() -> _Sample:
    cpu, memory = 0.0, 0.0
    here, workers = os.getpid(), [child.pid for child in multiprocessing.active_children() if child.pid]
    for process in (here, *workers):
        cpu += cpu_seconds(process)
        memory += resident(process) / 2**20
    schedules = [Path(f"/proc/{process}/schedstat").read_text().split() for process in workers or [here]]
    busy = sum(int(running) + int(ready) for running, ready, _ in schedules)  # of the one thread that works, ns
    return _Sample(time.perf_counter(), cpu, busy / 1e9, memory)
