"""Retrieval figures of trained networks (``results.json``): what mAP stands beside an energy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from spikinghash.errors import ConfigError

Kind = Literal[
    "spikinghash_integer",
    "spikinghash_float",
    "ann_twin_1",
    "ann_twin_t",
    "qnn",
    "int8_twin",
    "resnet18_hashnet",
    "resnet18_csq",
]
Share = Annotated[float, Field(ge=0, le=1)]

SPIKING_KIND = "snn"
KINDS_OF: dict[str, tuple[Kind, ...]] = {
    SPIKING_KIND: ("spikinghash_integer",),
    "ann_twin_1": ("ann_twin_1",),
    "ann_twin_t": ("ann_twin_t",),
    "qnn": ("qnn",),
    "int8_twin": ("int8_twin",),
    "resnet18": ("resnet18_hashnet", "resnet18_csq"),
}
"""The rows whose mAP belongs to a kind of priced network. The integer network is the one that is deployed."""


class Row(BaseModel):
    """One trained network on one data set."""

    model_config = ConfigDict(frozen=True)

    name: str
    dataset: str
    bits: int
    map: Annotated[tuple[Share, ...], Field(min_length=1)]
    """Tie-aware mean average precision, one value per seed."""
    kind: Kind
    parameters: int | None = None
    activation_sparsity: dict[str, Share] | None = None
    """Share of zeros among the inputs of each layer."""
    encoder: dict[str, Any] | None = None
    """Sizes of the encoder, as in its config."""


@dataclass(frozen=True)
class Retrieval:
    """Mean average precision of one trained network over its seeds."""

    name: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return sum(self.values) / len(self.values)


def read_results(path: Path) -> list[Row]:
    """Read a list of rows.

    Raises:
        ConfigError: the file cannot be read, or a row is malformed; the message names the row.
    """
    try:
        return TypeAdapter(list[Row]).validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        row, *place = first["loc"] or ("",)
        where = f"row {row + 1}: {'.'.join(map(str, place))}: " if isinstance(row, int) else ""
        raise ConfigError(f"{path}: {where}{first['msg']}, not {str(first['input'])[:60]!r}") from None


@dataclass(frozen=True)
class Selection:
    """The rows of one data set and code length that belong to one encoder."""

    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    """Why rows were left out."""

    def retrievals(self, network_kind: str) -> list[Retrieval]:
        """Retrieval figures of the rows that belong to a kind of priced network."""
        wanted = KINDS_OF[network_kind]
        return [Retrieval(row.name, row.map) for row in self.rows if row.kind in wanted]

    @property
    def zero_share(self) -> dict[str, float] | None:
        """Measured share of zero activations in the int8 twin, else in the twin on one frame that it is made of."""
        measured = {row.kind: row.activation_sparsity for row in self.rows if row.activation_sparsity}
        return measured.get("int8_twin") or measured.get("ann_twin_1")


def select(rows: Sequence[Row], dataset: str, bits: int, sizes: dict[str, Any] | None, source: str) -> Selection:
    """Keep the rows of ``dataset`` with codes of ``bits``, and of the encoder with these ``sizes``.

    A row that states the sizes of another encoder is left out; ResNet-18 depends on none of them. Where nothing is left
    of a kind of priced network, a note says so.
    """
    fitting = [row for row in rows if row.dataset == dataset and row.bits == bits]
    notes = [] if fitting else [f"mAP: {source} has no row of {dataset} with {bits} bits."]
    own = [row for row in fitting if row.kind.startswith("resnet18") or not _differs(row, sizes)]
    missing = {_priced(row.kind) for row in fitting} - {_priced(row.kind) for row in own}
    if missing:
        left = ", ".join(row.name for row in fitting if _priced(row.kind) in missing)
        notes.append(f"mAP: {source} has {left} for another encoder than this one: left out.")
    return Selection(tuple(own), tuple(notes))


def _priced(kind: Kind) -> str:
    """The kind of priced network that a row's belongs to; without one, its own."""
    return next((network for network, kinds in KINDS_OF.items() if kind in kinds), kind)


def _differs(row: Row, sizes: dict[str, Any] | None) -> bool:
    if row.encoder is None or sizes is None:
        return False
    return any(_plain(row.encoder[key]) != _plain(value) for key, value in sizes.items() if key in row.encoder)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
