"""What ``python -m deploy.hosts`` writes: measured time and energy of encoders and of their twins on one machine."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spikinghash.errors import GraphError, in_one_line
from spikinghash.files import read_file
from spikinghash.seal import verified_json
from spikinghash.validation import first_fault

Source = Literal["rapl", "nvml", "meter"]
SPIKING_KIND = "snn"
_LAST = 2.5e11
"""Seconds since 1970: dates end in the year 9999."""
RUNTIMES = {"events": "events", "onnxruntime": "ONNX Runtime"}
"""Names for readers, by that of the backend; the first is what a user gets by default."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Machine(_Record):
    """The host."""

    cpu: str
    architecture: str
    """As ``uname -m`` names it: x86_64, aarch64."""
    cores: int = Field(ge=1)
    """That this process may use."""
    memory_bytes: int = Field(ge=0)
    system: str
    virtual: bool
    """Whether the CPU says that a hypervisor stands below the system; its cores are then shared with others."""
    versions: dict[str, str]

    @property
    def text(self) -> str:
        """In one line: ``AMD EPYC, x86_64, 2 cores, virtual``."""
        cores = f"{self.cores} core{'s' if self.cores > 1 else ''}"
        return ", ".join([self.cpu, self.architecture, cores, *(["virtual"] if self.virtual else [])])


class Window(_Record):
    """A stretch of time, in seconds since 1970-01-01 UTC."""

    start: float = Field(ge=0, le=_LAST)
    end: float = Field(ge=0, le=_LAST)

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


class Seconds(_Record):
    """Time per code, over all timed passes."""

    least: float = Field(gt=0)
    median: float = Field(gt=0)
    p95: float = Field(gt=0)


class Energy(_Record):
    """Joules per code; ``None`` with the ``reason`` where no counter could be read."""

    joules_per_code: float | None = Field(None, ge=0)
    """All that the metered parts drew during the passes, idle power included."""
    dynamic_joules_per_code: float | None = None
    """The same above idle power; below zero where the difference is noise."""
    idle_watts: float | None = Field(None, ge=0)
    source: Source | None = None
    kind: Literal["measured", "metered"] | None = None
    """measured: by a counter of the chip. metered: by an instrument outside."""
    covers: str = ""
    """Which parts of the machine were metered."""
    reason: str | None = None


class Subject(_Record):
    """A network in a runtime."""

    encoder: str
    """Name of the encoder's file; of a conventional network that of the encoder which it is compared with."""
    network: str
    """``NAME sha256:HEX`` of the encoder's file."""
    checkpoint_sha256: str
    """Of the encoder; empty where its file does not say."""
    kind: Literal["snn", "ann_twin_1", "ann_twin_t", "resnet18"]
    form: Literal["integer", "float", "float32", "int8"]
    """Its numbers."""
    macs: int | None = None
    """Dense multiply-accumulates of a conventional network, per code, as the report counts them."""
    weights: int | None = None
    """Likewise."""
    runtime: str
    """Name of the backend."""
    device: str
    batch: int = Field(ge=1)

    @property
    def text(self) -> str:
        """The runtime for readers: ``ONNX Runtime, int8``."""
        name = RUNTIMES.get(self.runtime, self.runtime)
        return name if self.kind == SPIKING_KIND else f"{name}, {self.form}"


class Run(Subject):
    """What it took on one thread, in turns with the others."""

    recordings: int = Field(ge=1)
    """Of a pass, the same for all."""
    passes: int = Field(ge=1)
    cpu: Seconds
    """Of the processor."""
    wall: Seconds
    """On the clock."""
    windows: tuple[Window, ...]
    """Its turns."""
    energy: Energy


class Hosts(_Record):
    """All runs on one machine."""

    format: Literal[2] = 2
    machine: Machine
    recordings: str
    """Where they come from."""
    idle: Window
    """Before the runs: the machine did nothing for this program."""
    runs: tuple[Run, ...]
    notes: tuple[str, ...] = ()
    """What was not measured, and why."""

    @property
    def date(self) -> str:
        """Day of the measurement, UTC: ``2026-12-01``."""
        return datetime.datetime.fromtimestamp(self.idle.start, datetime.UTC).date().isoformat()

    def to_json(self) -> str:
        """One JSON document."""
        return self.model_dump_json(indent=1) + "\n"


def faster_first(runs: Sequence[Run]) -> list[Run]:
    """``runs`` with the one first that counts: what a user gets by default, else that of the least CPU time."""
    default = next(iter(RUNTIMES))
    return sorted(runs, key=lambda run: (run.runtime != default, run.cpu.least))


def read_hosts(path: Path) -> Hosts:
    """Read what ``Hosts.to_json`` wrote.

    Raises:
        GraphError: the file cannot be read or is no such document.
    """
    try:
        return Hosts.model_validate_json(verified_json(read_file(path)))
    except OSError as error:
        raise GraphError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise GraphError(f"{path}: {first_fault(error)}: measure again with python -m deploy.hosts") from None
    except ValueError as error:
        raise GraphError(f"{path}: not JSON, or damaged: {in_one_line(error)}") from None
