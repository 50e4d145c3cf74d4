"""What ``python -m deploy.hosts`` writes: measured latency and energy of encoders on one machine."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spikinghash.errors import GraphError, in_one_line
from spikinghash.files import read_file
from spikinghash.seal import verified_json
from spikinghash.validation import first_fault

Source = Literal["rapl", "nvml", "meter"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Machine(_Record):
    """The host."""

    cpu: str
    cores: int = Field(ge=1)
    """That this process may use."""
    memory_bytes: int = Field(ge=0)
    system: str
    virtual: bool
    """Whether the CPU says that a hypervisor stands below the system; its cores are then shared with others."""
    versions: dict[str, str]


class Window(_Record):
    """A stretch of time, in seconds since 1970-01-01 UTC."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


class Seconds(_Record):
    """Wall time per call, over all timed calls."""

    p50: float = Field(gt=0)
    p95: float = Field(gt=0)
    mean: float = Field(gt=0)
    min: float = Field(gt=0)


class Energy(_Record):
    """Joules per code; ``None`` with the ``reason`` where no counter could be read."""

    joules_per_code: float | None = None
    """All that the metered parts drew during the calls, idle power included."""
    dynamic_joules_per_code: float | None = None
    """The same above idle power; below zero where the difference is noise."""
    idle_watts: float | None = None
    source: Source | None = None
    kind: Literal["measured", "metered"] | None = None
    """measured: by a counter of the chip. metered: by an instrument outside."""
    covers: str = ""
    """Which parts of the machine were metered."""
    reason: str | None = None


class Run(_Record):
    """One encoder on one runtime with one batch size."""

    encoder: str
    network: str
    """``NAME sha256:HEX`` of the encoder's file."""
    runtime: str
    """Name of the backend."""
    device: str
    threads: int | None
    """``None``: the runtime's own default."""
    batch: int = Field(ge=1)
    warmup: int = Field(ge=0)
    repetitions: int = Field(ge=1)
    seconds: Seconds
    window: Window
    """Of all timed calls."""
    energy: Energy

    @property
    def per_code_s(self) -> float:
        """Median wall time per code."""
        return self.seconds.p50 / self.batch


class Hosts(_Record):
    """All runs on one machine."""

    format: Literal[1] = 1
    machine: Machine
    idle: Window
    """Before the runs: the machine did nothing for this program."""
    runs: tuple[Run, ...]

    def to_json(self) -> str:
        """One JSON document."""
        return self.model_dump_json(indent=1) + "\n"


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
