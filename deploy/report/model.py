"""The report as typed values: what ``report.json`` holds and all that page, terminal, CSV and comparison read.

Energies are in joules, times in seconds, per code. Three values in a row are the total at the lowest, the nominal and
the highest published prices. Every float has six digits, so that equal inputs give equal bytes on every machine.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from deploy.energy.assessment import REAL_TIME, SPIKING, Refusal
from deploy.energy.mapping.limits import Check
from deploy.energy.wording import si
from deploy.report.hosts.results import Hosts
from hardware_profiles.prices import Band
from hardware_profiles.schema import Run, Source
from hardware_profiles.terms import Execution, Kind
from hardware_profiles.terms import Platform as Family
from spikinghash.errors import GraphError, in_one_line
from spikinghash.files import read_file
from spikinghash.seal import verified_json

FORMAT: Final = 3
"""Version of the JSON file; a reader refuses any other."""

Figure = Annotated[float, AfterValidator(lambda value: float(f"{value:.6g}"))]
Corners = Annotated[
    tuple[Figure, Figure, Figure], BeforeValidator(lambda value: value.corners if isinstance(value, Band) else value)
]
"""Low, nominal, high."""


MEASURED = "measured here"
"""In the place of an error against measurements."""
FigureName = Literal["mAP", "top-1"]


class Record(BaseModel):
    """A part of the report."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def of(cls, source: object, **others: Any) -> Self:
        """The part whose fields are the attributes of ``source`` with the same names, but for the ``others``."""
        shared = cls.model_fields.keys() - others.keys()
        return cls(**{name: getattr(source, name) for name in shared if hasattr(source, name)}, **others)


class Retrieval(Record):
    """Tie-aware mean average precision of a trained network, or its top-1 accuracy, over its seeds."""

    name: str
    dataset: str
    mean: Figure
    low: Figure
    high: Figure
    seeds: int
    own: Figure | None = None
    """Of the very weights that are priced, where they are one of these seeds."""

    @property
    def value(self) -> float:
        """Of the weights that are priced, else the mean over the seeds."""
        return self.mean if self.own is None else self.own


class Network(Record):
    """A network that is priced."""

    network: str
    """Its label in bills and tables."""
    kind: str
    weights: int
    figure: FigureName = "mAP"
    """What its codes or, with a classification head, its answers are judged by."""
    maps: tuple[Retrieval, ...] = ()
    """Values of that figure. Empty: not measured."""

    @property
    def unit(self) -> str:
        """What a run of it gives: a code, or the class of a recording."""
        return "recording" if self.figure == "top-1" else "code"


class Spread(Record):
    """Mean over the recordings, and their 5th and 95th percentile."""

    mean: Figure
    p5_p95: tuple[Figure, Figure]


class Layer(Record):
    """Populations of one layer of the spiking network, per recording."""

    layer: str
    populations: int
    neurons: int
    synapses: int
    weights: int
    fan_in_max: int
    spikes: Figure
    synops: Spread
    helper_synops_share: Figure
    """Of delay lines, clocks and coincidence units."""
    active_share: Figure
    """Of the neuron updates."""


class Spiking(Network):
    """The traced network; counts are means over the recordings."""

    id: str
    bits: int | None
    """Of a code; ``None`` with a classification head, and where only counts were given."""
    dataset: str
    """What it was trained on; empty where its file does not say."""
    traced: str
    """Where the recordings come from."""
    recordings: int
    time_steps: int
    steps: int
    latency_steps: int
    window_s: Figure
    neurons: int
    synapses: int
    synops: Figure
    spikes: Figure
    spikes_per_synapse: Figure
    layers: tuple[Layer, ...]


class BaselineLayer(Record):
    """Work of one layer of a conventional network, per code."""

    layer: str
    macs: int
    transform_adds: int
    weight_bytes: int
    activation_bytes: int
    density: Figure
    """Share of the multiply-accumulates that is not skipped."""


class Baseline(Network):
    """A conventional network."""

    frames: int
    activation_bits: int
    macs: int
    effective_macs: Figure
    layers: tuple[BaselineLayer, ...]


class Term(Record):
    """One line of a bill: a count at a price. ``None``: nobody published it."""

    term: str
    name: str
    count: Corners | None
    unit: str
    price: Corners | None
    price_unit: Literal["J", "W"]
    kind: Kind | None
    sources: tuple[str, ...]
    energy_j: Corners | None
    share: Figure | None
    """Of the nominal total."""


class Priced(Record):
    """The bill of one network on one basis: a total, or a lower bound where terms are unpriced."""

    network: str
    basis: str
    complete: bool
    energy_j: Corners
    recordings_p5_p95_j: tuple[Figure, Figure]
    grade: Kind
    unpriced: tuple[str, ...]
    covered: dict[str, str]
    """Terms that are not charged, with the term whose price holds them."""
    terms: tuple[Term, ...]
    parts: dict[str, Corners]
    layers: dict[str, dict[str, Figure]]
    """Nominal energy by layer and part."""
    measured: bool = False
    """Whether it was measured on the machine at hand, at least its time."""

    @property
    def shown_j(self) -> float:
        """The nominal total; of a lower bound its low end, which is the least that it can be."""
        return self.energy_j[1 if self.complete else 0]

    @property
    def rank(self) -> tuple[int, float]:
        """For choosing among bills: the more terms are open, the less a small lower bound says."""
        return len(self.unpriced), self.shown_j

    @property
    def static_j(self) -> float:
        """Nominal energy of standing power."""
        return self.parts["standing power"][1] if "standing power" in self.parts else 0.0

    @property
    def dynamic_j(self) -> float:
        """Nominal energy of everything else."""
        return max(self.energy_j[1] - self.static_j, 0.0)


class Time(Record):
    """How long one network takes; a lower bound where something is untimed."""

    busy_s: Corners | None
    after_window_s: Corners | None
    grade: Kind | None
    untimed: tuple[str, ...]
    refused: str
    note: str

    def shown(self, corners: Corners) -> str:
        """The nominal time; of a lower bound its low end, which is the least that it can be."""
        return f"≥ {si(corners[0], 's')}" if self.untimed else si(corners[1], "s")


class PopulationCores(Record):
    """Cores that one population takes."""

    population: str
    neurons: int
    cores: int


class Placed(Record):
    """Where the network is on a platform of cores."""

    cores: int
    tiles: int
    chips: int
    neurons_used: Figure
    memory_used: Figure
    populations: tuple[PopulationCores, ...]


class Validated(Record):
    """A published measurement beside what the prices make of its counts."""

    name: str
    unit: Literal["J", "W", "s"]
    predicted: Corners
    measured: Figure
    tolerance: Figure
    error: str
    """Relative error of the nominal prediction, with its band."""
    passed: bool
    claimed: bool
    """Whether the profile claims to reproduce it."""
    note: str


class EvenAt(Record):
    """Spikes per synapse at which the spiking network is as dear as another; ``None``: it never is."""

    against: str
    basis: str
    measured: Figure
    at: tuple[Figure | None, Figure | None, Figure | None]
    ratio: Corners


class Comparison(Record):
    """Energy of the spiking network over that of another, at the same prices and on the same basis.

    Nominal on the basis of the platform's figure; the interval is the widest over all bases of computing alone.
    """

    against: str
    basis: str
    ratio: Corners
    complete: bool


class MeasuredRun(Record):
    """A network in one runtime on one thread, a recording at a time; per code."""

    runtime: str
    cpu_s: tuple[Figure, Figure]
    """Of the processor: least and median of the passes."""
    wall_s: Figure
    """On the clock, median."""
    joules: Figure | None
    """Of all that was metered; ``None``: no counter."""
    joules_above_idle: Figure | None


class MeasuredNetwork(Record):
    """Networks that are one and the same to a runtime, on the machine that was measured."""

    networks: tuple[str, ...]
    """Their labels."""
    runs: tuple[MeasuredRun, ...]
    """The first one counts: in the runtime that users get by default, else the fastest."""
    ratio: tuple[Figure, Figure]
    """CPU time of the spiking network over theirs, of the least and of the medians."""


class Measured(Record):
    """Times that were measured on the machine at hand; compared among themselves, never with modelled ones."""

    machine: str
    date: str
    versions: str
    recordings: str
    """How many, and where they come from."""
    energy: str
    """Where joules come from, or why there are none."""
    platforms: tuple[str, ...]
    """Ids of the platforms whose figures they are."""
    networks: tuple[MeasuredNetwork, ...]
    """The spiking network first."""


class Platform(Record):
    """Everything that the report says about one platform."""

    id: str
    name: str
    family: Family
    process_nm: Figure | None
    execution: Execution
    note: str
    form: str = ""
    """In which way the encoder was lowered that runs here, where cores had a choice."""
    profile_sha256: str
    validation: tuple[Validated, ...]
    energy_error: str
    """The largest error of an energy or power against a measurement, in words, or ``unvalidated``, or that energies are
    measured themselves."""
    time_error: str
    unvalidated: str
    """Why no measurement is reproduced; empty where one is, or where nobody says."""
    steps: int | None
    """Time steps billed, filling and draining included, on machines that have them."""
    checks: tuple[Check, ...]
    placed: Placed | None
    times: dict[str, Time]
    """By network."""
    bills: tuple[Priced, ...]
    """Empty where the network does not fit or nothing is priced; ``refusals`` then says why."""
    even: tuple[EvenAt, ...]
    operations_only: Corners | None
    runs: tuple[Run, ...]
    refusals: tuple[Refusal, ...]
    sources: dict[str, Source]
    measured: bool = False
    """Whether its figures are those of the machine at hand, and not modelled."""

    @property
    def counted(self) -> list[Priced]:
        """The bills that figures are taken from: measured ones alone, or modelled ones alone."""
        return [bill for bill in self.bills if bill.measured == self.measured]

    @cached_property
    def figures(self) -> dict[str, Priced]:
        """One bill per network: computing alone where it has one, that with the fewest open terms, then the cheapest.

        Standing power over a whole window depends on the window and not on the network. The conventional networks
        are taken on the basis of the spiking one where they have it.
        """
        spiking = self._figure(SPIKING, None)
        networks = dict.fromkeys(bill.network for bill in self.counted)
        found = {network: self._figure(network, spiking.basis if spiking else None) for network in networks}
        return {network: bill for network, bill in found.items() if bill}

    def _figure(self, network: str, wanted: str | None) -> Priced | None:
        def rank(bill: Priced) -> tuple[bool, bool, int, float]:
            return REAL_TIME in bill.basis, wanted not in (None, bill.basis), *bill.rank

        return min((bill for bill in self.counted if bill.network == network), key=rank, default=None)

    @property
    def spiking(self) -> Priced | None:
        """The figure of the spiking network."""
        return self.figures.get(SPIKING)

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The spiking network against every other that leaves the same terms unpriced, in the order of the bills."""
        others = dict.fromkeys(bill.network for bill in self.counted if bill.network != SPIKING)
        return tuple(found for other in others if (found := self._against(other)))

    def _against(self, other: str) -> Comparison | None:
        own, its = (
            {bill.basis: bill for bill in self.counted if bill.network == network and REAL_TIME not in bill.basis}
            for network in (SPIKING, other)
        )
        shared = [basis for basis in own if basis in its and own[basis].unpriced == its[basis].unpriced]
        ratios = {
            basis: [a / b for a, b in zip(own[basis].energy_j, its[basis].energy_j, strict=True)]
            for basis in shared
            if all(its[basis].energy_j) and all(own[basis].energy_j)
        }
        if not ratios:
            return None
        basis = self.spiking.basis if self.spiking and self.spiking.basis in ratios else next(iter(ratios))
        low, high = min(map(min, ratios.values())), max(map(max, ratios.values()))
        complete = own[basis].complete and its[basis].complete
        return Comparison(against=other, basis=basis, ratio=(low, ratios[basis][1], high), complete=complete)

    @property
    def refusal(self) -> Refusal | None:
        """The first reason why the spiking network has no figure."""
        own = (refusal for refusal in self.refusals if SPIKING in refusal.subject)
        return next(own, next(iter(self.refusals), None))


class Lookup(Record):
    """One query against the stored codes on one platform."""

    id: str
    name: str
    bills: tuple[Priced, ...]
    time: Time | None
    refusals: tuple[Refusal, ...]


class Search(Record):
    """One query against the stored codes."""

    codes: int
    bits: int
    bytes: int
    platforms: tuple[Lookup, ...]


class Answer(Record):
    """The report in five lines, with the figures that they are made of."""

    platform: str | None
    """Id of the hardware; ``None`` where no platform has a figure."""
    basis: str = ""
    energy_j: Corners | None = None
    complete: bool = False
    against: str | None = None
    """The fairest conventional network there."""
    against_j: Corners | None = None
    ratio: Corners | None = None
    lines: tuple[tuple[str, str], ...]
    """(what, text): hardware, SNN, ANN there, ratio, how complete."""


class Report(Record):
    """All of it."""

    format: Literal[3] = FORMAT
    answer: Answer
    spiking: Spiking
    baselines: tuple[Baseline, ...]
    platforms: tuple[Platform, ...]
    """Complete totals first, then lower bounds, then refusals; each in the order of the profiles."""
    paper_style: tuple[Priced, ...]
    search: Search | None
    measured: Measured | None = None
    hosts: Hosts | None
    assumptions: tuple[str, ...]
    notes: tuple[str, ...]
    """What is amiss with the inputs of this report."""

    @property
    def unit(self) -> str:
        """What energies and times are for."""
        return self.spiking.unit

    @cached_property
    def networks(self) -> dict[str, Network]:
        """All priced networks by label, the spiking one first."""
        return {each.network: each for each in (self.spiking, *self.baselines)}

    def platforms_with(self, complete: bool) -> list[Platform]:
        """Platforms where the spiking network has a complete total, or only a lower bound."""
        return [each for each in self.platforms if each.spiking and each.spiking.complete == complete]

    @property
    def without_figure(self) -> list[Platform]:
        """Platforms where it has none."""
        return [each for each in self.platforms if not each.spiking]

    def to_json(self) -> str:
        """One JSON document."""
        return self.model_dump_json(indent=1) + "\n"


def read_report(path: Path) -> Report:
    """Read what ``Report.to_json`` wrote.

    Raises:
        GraphError: it cannot be read, or is no report of this format.
    """
    try:
        return Report.model_validate_json(verified_json(read_file(path)))
    except OSError as error:
        raise GraphError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise GraphError(f"{path}: {_fault(error)}") from None
    except ValueError as error:
        raise GraphError(f"{path}: not JSON, or damaged: {in_one_line(error)}") from None


def _fault(error: ValidationError) -> str:
    first = next((each for each in error.errors() if each["loc"] == ("format",)), error.errors()[0])
    if first["loc"] == ("format",) and first["type"] == "literal_error":
        return f"is a report of format {first['input']}, this is {FORMAT}: make it again with deploy.report"
    return f"is no report: {'.'.join(map(str, first['loc']))} {first['msg']}: give a report.json of deploy.report"
