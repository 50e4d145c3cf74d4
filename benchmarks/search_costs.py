"""What ``benchmarks.search`` measures and ``benchmarks.search_page`` shows."""

from dataclasses import dataclass

from benchmarks.pipeline import Pipeline


@dataclass(frozen=True)
class Encoding:
    """Costs of encoding, CPU milliseconds per recording unless said otherwise."""

    read: float
    bin_and_read: float
    one: float
    """Encoding, batch 1, one thread."""
    batch: float
    """Encoding, batch 64, one thread."""
    batch_on_all: float
    """Encoding, batch 64, a thread per core."""
    pipelines: dict[int, Pipeline]
    """By workers."""
    recordings: int
    file_bytes: float
    manifest_bytes: float


@dataclass(frozen=True)
class Searching:
    """Costs of the index over codes of one kind."""

    codes: str
    bits: int
    count: int
    distinct: int
    milliseconds: float
    """CPU ms per query, k = 10, one thread."""
    bare: float
    """The same of faiss alone over all codes, in turns: no order among ties, no complete ties."""
    by_class: float
    """The same with ties ordered by thumbnail: CPU ms per query, one at a time."""
    by_recording: float
    """The same for one recording: candidates within the default radius, ordered by thumbnail."""
    candidates: int
    """Median of these."""
    bytes_per_code: float
    recall: float
    build: float
    """CPU seconds to add all codes."""
