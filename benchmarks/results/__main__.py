"""Train and test everything in the results table: ``python -m benchmarks.results``. What is done is not done again."""

import datetime
import json
import multiprocessing
import os
import platform
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.results.jobs import run_job
from benchmarks.results.plan import DATASETS, NETWORKS, SEEDS, Network, NmnistFolder, stages
from benchmarks.results.tables import link_checkpoints, markdown, read_records, rows
from spikinghash.cli import run
from spikinghash.errors import ConfigError
from spikinghash.files import atomic_path
from spikinghash.seal import sealed_row


def main(
    out: Annotated[Path, typer.Option(help="Folder for what is trained; jobs done there are not done again.")] = Path(
        "runs/results"
    ),
    nmnist: NmnistFolder = None,
    networks: Annotated[str, typer.Option(help="Which networks, by comma.")] = ",".join(NETWORKS),
    seeds: Annotated[str, typer.Option(help="Which seeds, by comma.")] = ",".join(map(str, SEEDS)),
    workers: Annotated[int, typer.Option(help="Trainings at a time, one core each.")] = os.cpu_count() or 1,
    docs: Annotated[Path, typer.Option(help="Folder for results.md and results.json.")] = Path("docs"),
    checkpoints: Annotated[
        Path, typer.Option(help="Folder of published checkpoints; the rows name those that hold their networks.")
    ] = Path("checkpoints/dense"),
) -> None:
    """Train what is missing, then write the table of all that is there."""
    chosen = _networks(networks)
    numbers = _numbers(seeds)
    console = Console(stderr=True)
    out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for stage in stages(chosen, DATASETS if nmnist else DATASETS[:1], numbers):
            jobs = {pool.submit(run_job, job, out, nmnist): job for job in stage}
            for future in as_completed(jobs):
                future.result()
                console.print(f"{jobs[future].key} done")
    write_tables(out, docs, checkpoints)


def _networks(names: str) -> list[Network]:
    chosen = names.split(",")
    unknown = sorted(set(chosen) - set(NETWORKS))
    if unknown:
        raise ConfigError(f"--networks {unknown[0]}: unknown: use {', '.join(NETWORKS)}")
    return [network for network in NETWORKS if network in chosen]


def _numbers(seeds: str) -> list[int]:
    try:
        return [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise ConfigError(f"--seeds {seeds}: use whole numbers, by comma") from None


def write_tables(out: Path, docs: Path, checkpoints: Path) -> None:
    """Write results.md and results.json from the results in ``out``."""
    table = link_checkpoints(rows(read_records(out)), checkpoints)
    hardware = f"{processor()}, one core per training"
    texts = {
        "results.md": markdown(table, datetime.date.today().isoformat(), hardware),
        "results.json": json.dumps([*map(sealed_row, table)], indent=1) + "\n",
    }
    for name, text in texts.items():
        with atomic_path(docs / name) as temporary:
            temporary.write_text(text)
    print(f"wrote {', '.join(str(docs / name) for name in texts)}: {len(table)} rows")


def processor() -> str:
    """Name of this machine's processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    run(main)
