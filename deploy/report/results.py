"""Retrieval figures of trained networks (``results.json``): what mAP stands beside an energy.

A figure of the spiking network belongs to one checkpoint, named by its SHA-256: other weights of the same sizes have
none. A conventional network is priced by its sizes alone, so that it has the figures of the networks that were trained
with these sizes, on the same data set and for codes of the same length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from deploy.report.hosts.results import SPIKING_KIND
from deploy.report.model import FigureName, Retrieval
from spikinghash.errors import ConfigError, in_one_line
from spikinghash.files import read_file
from spikinghash.seal import verified_json

Kind = Literal[
    "spikinghash_integer",
    "spikinghash_float",
    "ann_twin_1",
    "ann_twin_t",
    "qnn",
    "qnn_pruned",
    "int8_twin",
    "resnet18_hashnet",
    "resnet18_csq",
]
Share = Annotated[float, Field(ge=0, le=1)]
Seeds = Annotated[tuple[Share, ...], Field(min_length=1)]
"""A value per seed."""

KINDS_OF: dict[str, tuple[Kind, ...]] = {
    "ann_twin_1": ("ann_twin_1",),
    "ann_twin_t": ("ann_twin_t",),
    "qnn": ("qnn",),
    "int8_twin": ("int8_twin",),
    "resnet18": ("resnet18_hashnet", "resnet18_csq"),
}
"""The rows whose mAP belongs to a kind of conventional network."""


class Row(BaseModel):
    """Networks of one kind, sizes and data set, one per seed."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    name: str
    dataset: str
    bits: int
    map: Seeds | None = None
    """Tie-aware mean average precision of codes."""
    top1: Seeds | None = None
    """Accuracy of networks with a classification head, whose classes ``bits`` counts."""
    kind: Kind
    checkpoints: tuple[str | None, ...] = ()
    """SHA-256 of the checkpoint that holds the network of each seed; empty, or ``None`` for a seed: not kept."""
    activation_sparsity: dict[str, Share] | None = None
    """Share of zeros among the inputs of each layer."""
    encoder: dict[str, Any] | None = None
    """Sizes of the encoder, as in its config."""

    @model_validator(mode="after")
    def _one_figure(self) -> Self:
        if (self.map is None) == (self.top1 is None):
            raise ValueError("give either map or top1")
        return self

    @property
    def figure(self) -> FigureName:
        """Which of the figures it has."""
        return "mAP" if self.top1 is None else "top-1"

    def retrieval(self, sha256: str = "") -> Retrieval:
        """Mean and range over the seeds, and the value of the checkpoint with this ``sha256``."""
        values = self.map or self.top1 or ()
        own = values[self.checkpoints.index(sha256)] if sha256 in self.checkpoints else None
        low, high, count = min(values), max(values), len(values)
        return Retrieval(
            name=self.name, dataset=self.dataset, mean=sum(values) / count, low=low, high=high, seeds=count, own=own
        )


def read_results(path: Path) -> list[Row]:
    """Read a list of rows.

    Raises:
        ConfigError: the file cannot be read, or a row is malformed; the message names the row.
    """
    try:
        return TypeAdapter(list[Row]).validate_json(verified_json(read_file(path)))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        row, *place = first["loc"] or ("",)
        where = f"row {row + 1}: {'.'.join(map(str, place))}: " if isinstance(row, int) else ""
        raise ConfigError(f"{path}: {where}{first['msg']}, not {str(first['input'])[:60]!r}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON, or damaged: {in_one_line(error)}") from None


@dataclass(frozen=True)
class Weights:
    """What decides which figures belong to an encoder."""

    sha256: str
    """Of its checkpoint; empty where its file does not say."""
    numbers: str
    """``integer`` or ``float``."""
    bits: int
    dataset: str
    """What it was trained on; empty where its file does not say."""
    sizes: dict[str, Any] | None
    """As in its config; ``None`` where its file does not say."""
    figure: FigureName = "mAP"
    """What it is judged by; ``top-1`` with a classification head, whose classes ``bits`` counts."""


@dataclass(frozen=True)
class Selection:
    """Figures of one encoder and of the conventional networks of its sizes, all on one data set."""

    dataset: str = ""
    own: tuple[Retrieval, ...] = ()
    """Of the encoder."""
    rows: tuple[Row, ...] = ()
    """Of conventional networks."""
    notes: tuple[str, ...] = ()
    """Why figures are missing."""
    figure: FigureName = "mAP"
    """Which ones they are."""

    def retrievals(self, network_kind: str) -> tuple[Retrieval, ...]:
        """Figures of a kind of priced network."""
        if network_kind == SPIKING_KIND:
            return self.own
        return tuple(row.retrieval() for row in self.rows if row.kind in KINDS_OF[network_kind])

    @property
    def zero_share(self) -> dict[str, float] | None:
        """Measured share of zero activations in the int8 twin, else in the twin on one frame that it is made of."""
        measured = {row.kind: row.activation_sparsity for row in self.rows if row.activation_sparsity}
        return measured.get("int8_twin") or measured.get("ann_twin_1")


def select(rows: Sequence[Row], encoder: Weights, source: str) -> Selection:
    """The figures in ``rows`` (read from ``source``) that belong to ``encoder`` and to its conventional counterparts.

    Where the encoder's file names no data set, the row of its checkpoint does.
    """
    mine = [row for row in rows if encoder.sha256 and encoder.sha256 in row.checkpoints]
    mine = [
        row for row in mine if row.kind == f"spikinghash_{encoder.numbers}" and encoder.dataset in ("", row.dataset)
    ]
    dataset = encoder.dataset or next((row.dataset for row in mine), "")
    rows = [row for row in rows if row.figure == encoder.figure]
    kinds = {kind for kinds in KINDS_OF.values() for kind in kinds}
    fitting = [row for row in rows if row.kind in kinds and (row.dataset, row.bits) == (dataset, encoder.bits)]
    others = [row for row in fitting if row.kind.startswith("resnet18") or not _differs(row, encoder.sizes)]
    own = tuple(row.retrieval(encoder.sha256) for row in mine)
    notes = tuple(f"{encoder.figure}: {note}" for note in _notes(own, fitting, others, dataset, source))
    return Selection(dataset, own, tuple(others), notes, encoder.figure)


def _notes(
    own: Sequence[Retrieval], fitting: Sequence[Row], others: Sequence[Row], dataset: str, source: str
) -> Iterator[str]:
    if not dataset:
        yield "the encoder's file names no data set: export it again, or give --dataset."
    elif not own:
        yield (
            f"{source} has no figure of this encoder's weights: not measured. python -m export.evaluate CKPT "
            f"measures them, --results takes them from its --out."
        )
    known = {row.kind for row in others}
    left = dict.fromkeys(row.name for row in fitting if row.kind not in known)
    if left:
        yield f"{source} has {'; '.join(left)} for another encoder than this one: left out."


def _differs(row: Row, sizes: dict[str, Any] | None) -> bool:
    if row.encoder is None or sizes is None:
        return False
    return any(_plain(row.encoder[key]) != _plain(value) for key, value in sizes.items() if key in row.encoder)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
