"""Networks as compiled C on a microcontroller: counted by an emulator, kept in ``docs/microcontroller.json``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from spikinghash.errors import ConfigError, in_one_line
from spikinghash.files import read_file
from spikinghash.seal import verified_json

Amount = Annotated[int, Field(ge=0, le=2**53)]
ENCODER = "encoder"
TWIN = "int8_twin"
TWIN_KINDS = ("ann_twin_1", "qnn", "int8_twin")
"""Conventional networks that do what the counted twin does there: kernels of eight bits, which skip no zeros."""


class Compiled(BaseModel):
    """A network on a core, as ``benchmarks.microcontroller`` measured it."""

    model_config = ConfigDict(frozen=True)

    checkpoint_sha256: str
    profile: str
    """Id of the hardware profile."""
    kind: str
    flash_bytes: Amount
    """Of code and tables."""
    ram_bytes: Amount
    """Static."""
    stack_bytes: Amount = 0
    """Beside it; files of former versions lack it."""
    instructions: Amount
    """Per code, the mean over recordings."""


Program = Mapping[str, Compiled]
"""What is known of one core, by the kind of network; empty where nothing was counted."""


def read_compiled(path: Path, checkpoint_sha256: str) -> dict[str, Program]:
    """What was counted of an encoder and of its twin, by the id of the profile.

    Raises:
        ConfigError: the file cannot be read, or is malformed.
    """
    try:
        rows = TypeAdapter(list[Compiled]).validate_json(verified_json(read_file(path)))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValidationError, ValueError) as error:
        raise ConfigError(f"{path}: no figures of benchmarks.microcontroller: {in_one_line(error)}") from None
    found: dict[str, dict[str, Compiled]] = {}
    for row in rows:
        if checkpoint_sha256 and row.checkpoint_sha256 == checkpoint_sha256:
            found.setdefault(row.profile, {})[row.kind] = row
    return dict(found)
