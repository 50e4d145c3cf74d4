"""The page docs/scale.md: measured costs, and the arithmetic from them to 10^10 codes."""

import math
import os
from datetime import date

from benchmarks.pipeline import Pipeline
from benchmarks.search_costs import Encoding, Searching
from deploy.report.hosts.machine import describe_machine
from deploy.search.ranking import default_radius
from deploy.search.thumbnails import BYTES

SIZES = (10**6, 10**8, 10**10)
NODE_BYTES = 64e9
"""Memory of a node that indexes may fill."""
NODE_CORES = 16
ID_BYTES = 8


def page(encoding: Encoding, searches: list[Searching], bits: int) -> str:
    """The whole page, Markdown."""
    largest = max(one.count for one in searches)
    biggest = [one for one in searches if one.count == largest]
    flat = next(one for one in biggest if one.codes == "random" and one.bits == bits)
    parts = [
        "# Search at scale",
        _opening(largest),
        "## Encoding, measured",
        _encoding(encoding),
        "## Searching, measured",
        _searching(searches, bits),
        _ordered(searches, bits),
        f"## 10^6, 10^8, 10^10 codes of {bits} bits",
        _rates(encoding, flat, bits),
        *(_size(count, encoding, flat, bits) for count in SIZES),
        f"### What {bits} bits can tell apart",
        _chance(bits),
    ]
    return "\n\n".join(parts) + "\n"


def _opening(largest: int) -> str:
    machine, load = describe_machine(), os.getloadavg()[0]
    crowded = "\n\n**The machine was busy with other work: all costs are higher than on a quiet one.**"
    busy = crowded if load > 1.5 * machine.cores else ""
    return f"""Written by `python -m benchmarks.search --out docs/scale.md` on {date.today()}, on {machine.cpu},
{machine.cores} cores{", virtual" if machine.virtual else ""}, load average {load:.1f} at the end.{busy}

The first two sections are measured there; the third is arithmetic from them, each step shown: nothing with more than
{_power(largest)} codes was run. Costs are CPU time; what other work takes of the caches is in them. Ray and Milvus are
not measured, so that what several machines cost each other is not in the figures."""


def _encoding(e: Encoding) -> str:
    alone, pair = e.pipelines[1], e.pipelines[2]
    rows = [
        ("read the file", e.read),
        ("decode, check, bin", e.bin_and_read - e.read),
        ("encode, batch 1", e.one),
        ("encode, batch 64", e.batch),
        ("encode, batch 64, a thread per core", e.batch_on_all),
        ("whole pipeline, 1 worker", alone.cpu),
        ("whole pipeline, 2 workers", pair.cpu),
    ]
    table = "\n".join(["| stage | CPU ms per recording |", "|---|---|", *(f"| {n} | {ms:.2f} |" for n, ms in rows)])
    return f"""{e.recordings:,} random recordings in the N-MNIST format, {e.file_bytes / 1e3:.1f} kB each. One thread
per process unless said otherwise.

{table}

{_clocked([alone, pair])}

A recording takes {e.manifest_bytes:.0f} bytes in the manifest."""


def _clocked(pipelines: list[Pipeline]) -> str:
    head = (
        "| workers | recordings/s | cores used | busy | CPU s to start | MiB at 1/4 | 1/2 | end |\n" + 8 * "|---" + "|"
    )
    rows = [
        f"| {one.workers} | {1e3 / one.clock:.0f} | {one.cpu / one.clock:.2f} | {one.busy:.1%} | {one.start:.1f} | "
        + " | ".join(f"{held:.0f}" for held in one.memory)
        + " |"
        for one in pipelines
    ]
    return f"""On the clock, once every worker has started. *Cores used* is CPU time by time on the clock: no more than
what other work on the machine left. *Busy* is the share of their time that the workers ran or were ready to run, not
waiting for files or for work. *Start* is until each worker has encoded a chunk or two. Memory is that of all
processes, pages that they share counted in each.

{head}
""" + "\n".join(rows)


def _searching(searches: list[Searching], bits: int) -> str:
    largest = max(one.count for one in searches)
    head = (
        "| codes | | distinct | CPU ms per query | by bare faiss | times as much | recall@10 | bytes per code | "
        "CPU s to build |\n" + 9 * "|---" + "|"
    )
    rows = [
        f"| {_power(one.count)} | {_kind(one, bits)} | {one.distinct:,} | {one.milliseconds:.3g} | "
        f"{one.bare:.3g} | {one.milliseconds / one.bare:.2f} | {one.recall:.3f} | "
        f"{one.bytes_per_code if one.count == largest else math.nan:.0f} | {one.build:.2g} |".replace("nan", "-")
        for one in searches
    ]
    return f"""Codes of {bits} bits unless a row says otherwise, 10 nearest, ties by id, 50 queries at once on one
thread; the least of three rounds, the index and bare faiss in turns. *Random*: independent bits.
*10 clusters*: the bits of one of 10 centres, each flipped with probability 0.1. *Repeated*: distinct codes are
random, and come back as those of recordings do (a Pitman-Yor process of discount 0.66, which fits the codes of 1,000
N-MNIST recordings). *Bare faiss* compares with all codes and leaves ties as they fall. Recall is the share of the 10
nearest, ties counted, that was returned. Bytes per code are the growth of a fresh process, with the {bits // 8} bytes
of the code and {ID_BYTES} of the id, for the largest indexes; next to smaller ones, what a process takes anyway counts.

{head}
""" + "\n".join(rows)


def _kind(one: Searching, bits: int) -> str:
    return one.codes if one.bits == bits else f"{one.codes}, {one.bits} bits"


def _ordered(searches: list[Searching], bits: int) -> str:
    head = "| codes | | class, CPU ms per query | recording | candidates |\n" + 5 * "|---" + "|"
    rows = [
        f"| {_power(one.count)} | {_kind(one, bits)} | {one.by_class:.3g} | {one.by_recording:.3g} | "
        f"{one.candidates:,} |"
        for one in searches
    ]
    return f"""With thumbnails, a query at a time: *class* orders ties by thumbnail, *recording* (`--find recording`)
all candidates within {default_radius(bits)} of {bits} bits. Thumbnails take {BYTES} bytes each besides.

{head}
""" + "\n".join(rows)


def _rates(e: Encoding, flat: Searching, bits: int) -> str:
    lines = [
        f"- **Encoding**: N x {e.pipelines[1].cpu:.2f} ms of one core (whole pipeline, 1 worker).",
        f"- **Recordings**: N x {e.file_bytes / 1e3:.1f} kB of storage; **manifest** N x {e.manifest_bytes:.0f} B.",
        f"- **Flat index**: N x {flat.bytes_per_code:.0f} B of memory, and {flat.milliseconds:.3g} ms / "
        f"{_power(flat.count)} = {_scan_ns(flat):.3g} ns of one core per code and query ({flat.codes}).",
        f"- **Bare codes and ids**, if no two codes are equal: N x ({bits // 8} + {ID_BYTES}) B. A Milvus server holds "
        "the distinct codes, who asks it the ids.",
        f"- **Thumbnails**: N x {BYTES} B, where recordings of one code are told apart.",
        f"- **Node**: {NODE_CORES} cores, {NODE_BYTES / 1e9:.0f} GB of memory for the index: an assumption.",
    ]
    return "\n".join(lines)


def _scan_ns(flat: Searching) -> float:
    return 1e6 * flat.milliseconds / flat.count


def _size(n: int, e: Encoding, flat: Searching, bits: int) -> str:
    total, memory, bare = n * e.pipelines[1].cpu / 1e3, n * flat.bytes_per_code, n * (bits // 8 + ID_BYTES)
    nodes, scan = math.ceil(memory / NODE_BYTES), 1e-9 * n * _scan_ns(flat)
    return f"""### {_power(n)} codes

- Encoding: {_power(n)} x {e.pipelines[1].cpu:.2f} ms = {_time(total)} of one core; / {NODE_CORES} cores =
  {_time(total / NODE_CORES)} on one node; / 1,000 cores = {_time(total / 1000)}.
- Storage: recordings {_power(n)} x {e.file_bytes / 1e3:.1f} kB = {_bytes(n * e.file_bytes)}; manifest
  {_power(n)} x {e.manifest_bytes:.0f} B = {_bytes(n * e.manifest_bytes)}.
- Memory: flat index {_power(n)} x {flat.bytes_per_code:.0f} B = {_bytes(memory)}, / {NODE_BYTES / 1e9:.0f} GB =
  {nodes} node{"s" * (nodes > 1)}; bare codes and ids {_bytes(bare)}, {math.ceil(bare / NODE_BYTES)}.
- Query: {_power(n)} x {_scan_ns(flat):.3g} ns = {_time(scan)} of one core; / ({nodes} x {NODE_CORES} cores) =
  {_time(scan / nodes / NODE_CORES)}, network left out.
- {_advice(n)}"""


def _advice(n: int) -> str:
    if n <= 10**6:
        return "`--kind flat`, on one machine."
    if n <= 10**8:
        return "`--engine ray` for the encoding; `--kind flat` on one node, or Milvus `BIN_FLAT`; one manifest."
    return (
        "Milvus on the nodes, `BIN_IVF_FLAT` to look at a part of the codes (its recall is not measured here). A "
        "manifest is one file on one machine: split the recordings, with an index folder for each part."
    )


def _chance(bits: int) -> str:
    def expected(n: int, radius: int) -> float:
        return n * sum(math.comb(bits, distance) for distance in range(radius + 1)) / 2**bits

    rows = [
        f"| {_power(n)} | {_short(expected(n, 0))} | {_short(expected(n, 2))} | {_short(expected(n, 4))} |"
        for n in SIZES
    ]
    return f"""Codes of unrelated recordings within distance r of a query by chance, if bits were independent and even:
N x (C({bits},0) + ... + C({bits},r)) / 2^{bits}.

| codes | r = 0 | r = 2 | r = 4 |
|---|---|---|---|
{chr(10).join(rows)}

Where that is not far below the number of true neighbours, a longer code is needed."""


def _power(n: int) -> str:
    exponent = round(math.log10(n))
    return f"10^{exponent}" if n == 10**exponent else f"{n:,}"


def _time(seconds: float) -> str:
    for unit, size in (("years", 365.25 * 86400), ("days", 86400), ("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_short(seconds / size)} {unit}"
    return f"{_short(1e6 * seconds)} us"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"


def _bytes(count: float) -> str:
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"
