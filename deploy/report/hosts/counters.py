"""Energy counters of the machine: RAPL for processors and their memory, NVML for NVIDIA GPUs.

A counter that cannot be read is no counter: the reason goes with the result, and no figure is made up in its place.
"""

import importlib
import threading
from pathlib import Path
from typing import Any, Protocol

from spikinghash.errors import MissingToolError

POWERCAP = Path("/sys/class/powercap")
POLL_SECONDS = 1.0
"""How often a counter is read during a window. RAPL wraps around after a minute or more, so none is missed."""


class Counter(Protocol):
    """Counts joules."""

    covers: str
    """Which parts of the machine."""

    def read(self) -> float:
        """Joules since the counter was made. Must be called at least once per wrap-around of the hardware."""


class _Domain:
    def __init__(self, folder: Path) -> None:
        self.name, self._energy = _text(folder / "name"), folder / "energy_uj"
        self._wraps_at = _microjoules(folder / "max_energy_range_uj")  # then it starts again from 0
        self._last, self._total = _microjoules(self._energy), 0

    def advance(self) -> int:
        now = _microjoules(self._energy)
        self._total += (now - self._last) if now >= self._last else max(now + self._wraps_at - self._last, 0)
        self._last = now
        return self._total


class Rapl:
    """Running Average Power Limit, read through the Linux powercap interface (Intel, and AMD since Linux 5.8).

    Counts all packages, and their memory where it is a domain of its own (DRAM is not part of the package). Cores and
    graphics are parts of the package and are not counted twice; nor is the whole platform (psys).

    Args:
        root: the folder of the powercap class.

    Raises:
        MissingToolError: there is no such counter, or it may not be read.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        if not root.is_dir():
            raise MissingToolError(f"no energy counter: {root} is absent")
        folders = [folder for folder in sorted(root.glob("intel-rapl:*")) if (folder / "energy_uj").exists()]
        domains = [_Domain(folder) for folder in folders]
        self._domains = [domain for domain in domains if domain.name.startswith(("package", "dram"))]
        if not self._domains:
            raise MissingToolError(f"no energy counter: {root} has no intel-rapl package")
        self.covers = ", ".join(domain.name for domain in self._domains)

    def read(self) -> float:
        """Joules of all domains since the counter was made."""
        return sum(domain.advance() for domain in self._domains) * 1e-6


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except PermissionError:
        raise MissingToolError(f"no energy counter: {path} may be read by root alone: allow it with chmod") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MissingToolError(f"no energy counter: {path} cannot be read ({error})") from None


def _microjoules(path: Path) -> int:
    text = _text(path)
    if not text.isdecimal():
        raise MissingToolError(f"no energy counter: {path} cannot be read ({text[:40]!r} is no number of microjoules)")
    return int(text)


class Nvml:
    """Total energy of one NVIDIA GPU (Volta or later), through the package nvidia-ml-py.

    Raises:
        MissingToolError: no package, no driver, or no such counter.
    """

    def __init__(self, index: int = 0) -> None:
        try:
            self._nvml: Any = importlib.import_module("pynvml")
        except ImportError:
            raise MissingToolError("no energy counter: install nvidia-ml-py to read the GPU's") from None
        try:
            self._nvml.nvmlInit()
            self._gpu = self._nvml.nvmlDeviceGetHandleByIndex(index)
            self._start = self._millijoules()
            name = self._nvml.nvmlDeviceGetName(self._gpu)
        except self._nvml.NVMLError as error:
            raise MissingToolError(f"no energy counter: NVML: {error}") from None
        self.covers = name if isinstance(name, str) else name.decode()

    def _millijoules(self) -> int:
        return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._gpu))

    def read(self) -> float:
        """Joules since the counter was made."""
        return (self._millijoules() - self._start) * 1e-3


class Metering:
    """``with Metering(counter) as window: ...`` then ``window.joules``; reads often enough for wrap-arounds."""

    def __init__(self, counter: Counter, poll_seconds: float = POLL_SECONDS) -> None:
        self._counter, self._poll = counter, poll_seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.joules = 0.0

    def __enter__(self) -> "Metering":
        self._start = self._counter.read()
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(self._poll):
            self._counter.read()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.joules = self._counter.read() - self._start
