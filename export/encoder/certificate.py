"""What is proven of an integer network: how many bits its potentials can need, and which arithmetic is exact."""

from dataclasses import asdict, dataclass

MANTISSA = {"float32": 24, "float64": 53}


@dataclass(frozen=True)
class Bound:
    """Worst case of one population, from the weights alone."""

    population: str
    lowest: float
    """Smallest current a that any input can cause in one step."""
    highest: float
    """Largest current."""
    bits: int
    """Bits that hold every intermediate value of the neuron, and every partial sum of its currents, exactly."""


@dataclass(frozen=True)
class Certificate:
    """What is exact in which arithmetic. Inside it, all correct backends give the same codes bit for bit."""

    bounds: tuple[Bound, ...]
    bits: int
    """The largest of ``bounds``."""
    exact_in: str
    """``float32``, ``float64`` or ``not certified``."""

    def as_dict(self) -> dict[str, object]:
        """For metadata and reports."""
        return asdict(self)

    def __str__(self) -> str:
        worst = max(self.bounds, key=lambda bound: bound.bits)
        verdict = f"exact in {self.exact_in}" if self.exact_in in MANTISSA else "not certified"
        widest = f"widest: {worst.population}, currents {worst.lowest:g} to {worst.highest:g}"
        return f"{verdict}: at most {self.bits} bits ({widest})"
