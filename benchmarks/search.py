"""What encoding and searching cost, and what follows for 10^6 to 10^10 codes.

``python -m benchmarks.search`` prints the page docs/scale.md, ``--out docs/scale.md`` writes it. Costs are CPU seconds,
so that other work on the machine does not count; where the time on the clock matters, what the other work left of the
cores is printed beside it. Needs Linux, whose /proc it reads.
"""

import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import faiss
import numpy as np
import typer

from benchmarks.pipeline import measure_pipeline, resident
from benchmarks.search_costs import Encoding, Searching
from benchmarks.search_page import page
from benchmarks.timing import seconds_of_children
from deploy.backends.encoders import load_encoder
from deploy.search.bulk import CHUNK
from deploy.search.evaluation import recall
from deploy.search.faiss_index import FlatIndex
from deploy.search.files import find_sources
from deploy.search.index import Codes
from deploy.search.manifest import Facts, Manifest
from deploy.search.ranking import Query, rank
from deploy.search.thumbnails import BYTES
from export.encoder.network import load_network
from export.onnx.to_onnx import export_onnx
from spikinghash.cli import run
from spikinghash.files import atomic_path
from training.data.recordings import EVENT_DTYPE, load_recording, write_recording

EVENTS = 4_130
"""Events of a recording: the mean of 200 recordings of N-MNIST."""
QUERIES = 50
ROUNDS = 3
LONGER_BITS = 64
"""Of codes that are searched besides those of the encoder."""
RANKED = 10
"""Queries whose answers are ordered by thumbnail."""
K = 10
DISCOUNT = 0.66
"""Fits the codes of 1,000 N-MNIST recordings: 107 distinct ones, ten of which 706 recordings have."""
REPEATED_SEED = 399
"""Draws of one discount differ widely; this one's first 1,000 codes are 109 distinct ones, ten of which have 814."""


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    return time.process_time() + seconds_of_children()


def costs(works: Sequence[Callable[[], object]], times: int) -> list[float]:
    """CPU milliseconds of each of ``works`` divided by ``times``: the least of rounds in which they take turns."""
    spent: list[list[float]] = [[] for _ in works]
    for round_ in range(1 + ROUNDS):
        for work, own in zip(works, spent, strict=True):
            begin = cpu_seconds()
            work()
            if round_:  # the first one warms up
                own.append(cpu_seconds() - begin)
    return [1e3 * min(own) / times for own in spent]


def cost(work: Callable[[], object], times: int) -> float:
    """CPU milliseconds of ``work`` divided by ``times``: the least of some rounds."""
    return costs([work], times)[0]


def write_recordings(folder: Path, count: int) -> list[Path]:
    """Random recordings with as many events as N-MNIST's, in its format."""
    generator = np.random.default_rng(0)
    paths = []
    for number in range(count):
        events = np.zeros(EVENTS, EVENT_DTYPE)
        for axis, middle in zip("xy", generator.uniform(10, 24, 2), strict=True):
            events[axis] = np.clip(generator.normal(middle, 5, EVENTS), 0, 33)
        events["t"] = np.sort(generator.integers(0, 300_000, EVENTS))
        events["p"] = generator.random(EVENTS) < 0.5
        paths.append(folder / f"{number:06d}.bin")
        write_recording(paths[-1], events)
    return paths


def measure_encoding(folder: Path, encoder: Path, recordings: int) -> Encoding:
    """Costs of each stage, of the whole, and the memory it holds."""
    paths = write_recordings(folder, recordings)
    pipelines = {workers: measure_pipeline(paths, encoder, workers) for workers in (1, 2)}
    some = paths[:CHUNK]
    loaded, on_all = load_encoder(encoder, threads=1), load_encoder(encoder)
    size = loaded.time_steps, loaded.size
    frames = np.stack([load_recording(path).frames(*size) for path in some])
    return Encoding(
        read=cost(lambda: [path.read_bytes() for path in some], len(some)),
        bin_and_read=cost(lambda: [load_recording(path).frames(*size) for path in some], len(some)),
        one=cost(lambda: [loaded.encode(frames[i : i + 1]) for i in range(CHUNK)], CHUNK),
        batch=cost(lambda: loaded.encode(frames), len(frames)),
        batch_on_all=cost(lambda: on_all.encode(frames), len(frames)),
        pipelines=pipelines,
        recordings=recordings,
        file_bytes=paths[0].stat().st_size,
        manifest_bytes=_manifest_bytes(paths),
    )


def _manifest_bytes(paths: list[Path]) -> float:
    with tempfile.TemporaryDirectory() as name:
        facts = Facts(encoder="encoder.onnx", encoder_sha256="0" * 64, bits=32, kind="flat")
        manifest = Manifest.create(Path(name), facts)
        sources = [source for path in paths for source in find_sources(path)]
        manifest.add((source, bytes(4), bytes(BYTES)) for source in sources)
        manifest.close()
        return manifest.path.stat().st_size / len(sources)


def independent_codes(count: int, bits: int) -> Codes:
    """Codes of independent bits."""
    return np.random.default_rng(0).integers(0, 256, (count, bits // 8), dtype=np.uint8)


def clustered_codes(count: int, bits: int) -> Codes:
    """The bits of one of ten centres, each flipped with probability 0.1."""
    generator, centres = np.random.default_rng(1), independent_codes(10, bits)
    flips = np.packbits(generator.random((count, bits)) < 0.1, axis=1)
    return np.asarray(centres[generator.integers(0, 10, count)] ^ flips)


def repeated_codes(count: int, bits: int) -> Codes:
    """Codes that repeat as those of recordings do: a Pitman-Yor process of discount ``DISCOUNT``.

    The n-th recording has a new code with probability ``DISCOUNT`` times the codes so far / n, else the code of an
    earlier one, in proportion to how often it was there less ``DISCOUNT`` (J. Pitman, M. Yor, "The two-parameter
    Poisson-Dirichlet distribution", Annals of Probability 25, 1997).
    """
    chance = random.Random(REPEATED_SEED)
    owners: list[int] = []
    sizes: list[int] = []
    while len(owners) < count:
        if chance.random() * len(owners) <= DISCOUNT * len(sizes):
            owner = len(sizes)
            sizes.append(0)
        else:
            owner = chance.choice(owners)
            if chance.random() * sizes[owner] < DISCOUNT:
                continue
        owners.append(owner)
        sizes[owner] += 1
    return np.asarray(independent_codes(len(sizes), bits)[owners])


WORKLOADS = {"random": independent_codes, "10 clusters": clustered_codes, "repeated": repeated_codes}


def measure_search(workload: str, count: int, bits: int) -> Searching:
    """Costs of the index over ``count`` codes; queries are more codes of the same draw."""
    faiss.omp_set_num_threads(1)
    drawn = WORKLOADS[workload](count + QUERIES, bits)
    codes, queries = drawn[:count], drawn[count:]
    before, begin = resident(), cpu_seconds()
    index = FlatIndex(bits)
    index.add(codes, np.arange(count))
    index.search(queries[:1], K)  # puts the codes in order
    build, held = cpu_seconds() - begin, resident() - before
    bare = faiss.IndexBinaryFlat(bits)
    bare.add(codes)
    generator = np.random.default_rng(2)
    thumbnails = generator.integers(0, 256, (count, BYTES), np.uint8)
    asked = [Query(code, generator.integers(0, 256, (9, BYTES), np.uint8)) for code in queries[:RANKED]]
    ours, plain = costs([lambda: index.search(queries, K), lambda: bare.search(queries, K)], QUERIES)
    return Searching(
        codes=workload,
        bits=bits,
        count=count,
        distinct=len(np.unique(codes, axis=0)),
        milliseconds=ours,
        bare=plain,
        by_class=cost(lambda: [rank(index, thumbnails, one, "class", K) for one in asked], RANKED),
        by_recording=cost(lambda: [rank(index, thumbnails, one, "recording", K) for one in asked], RANKED),
        candidates=int(np.median([rank(index, thumbnails, one, "recording", K).candidates for one in asked])),
        bytes_per_code=held / count,
        recall=recall(index, codes, queries[:10], K),
        build=build,
    )


def main(
    checkpoint: Annotated[Path, typer.Option(help="Encoder to measure.")] = Path("checkpoints/digits.pt"),
    recordings: Annotated[int, typer.Option(min=8 * CHUNK)] = 32 * CHUNK,
    largest: Annotated[int, typer.Option(min=1000, help="Codes in the largest index.")] = 1_000_000,
    out: Annotated[Path | None, typer.Option(help="File to write instead of printing.")] = None,
) -> None:
    """Measure, extrapolate, and print the page."""
    network = load_network(checkpoint, "integer")
    bits = network.config.bits
    counts = [count for count in (10_000, 100_000, 1_000_000, 10_000_000) if count <= largest]
    wanted = [(workload, count, bits) for count in counts for workload in WORKLOADS]
    wanted += [("random", count, LONGER_BITS) for count in counts]
    # Each in a process of its own: memory that an index gave back would hide in what the next one shows.
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        searches = pool.starmap(measure_search, wanted, chunksize=1)
    with tempfile.TemporaryDirectory() as name:
        encoder = Path(name) / "encoder.onnx"
        export_onnx(network, encoder)
        (Path(name) / "recordings").mkdir()
        encoding = measure_encoding(Path(name) / "recordings", encoder, recordings)
    text = page(encoding, searches, bits)
    if out is None:
        print(text)
        return
    with atomic_path(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(main)
