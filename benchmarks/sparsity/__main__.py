"""mAP over operations: ``python -m benchmarks.sparsity``. An interrupted run goes on from its last epoch."""

import datetime
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.results.__main__ import processor
from benchmarks.results.plan import DATASETS, SEEDS, NmnistFolder
from benchmarks.results.tables import link_checkpoints
from benchmarks.sparsity.core import run_core
from benchmarks.sparsity.jobs import run_dense, run_job
from benchmarks.sparsity.order import run_order
from benchmarks.sparsity.page import HEAD, add_times, against_twins, core_tables, draw, markdown, rows
from benchmarks.sparsity.plan import RECIPE, Job, planned
from benchmarks.sparsity.twins import run_twins
from spikinghash.cli import run
from spikinghash.errors import ConfigError
from spikinghash.files import atomic_path


def main(
    out: Annotated[Path, typer.Option(help="Folder for what is trained; what is done is not done again.")] = Path(
        "runs/sparsity"
    ),
    nmnist: NmnistFolder = None,
    dense: Annotated[Path, typer.Option(help="Folder of the dense checkpoints, DATASET.pt.")] = Path(
        "checkpoints/dense"
    ),
    checkpoints: Annotated[
        Path, typer.Option(help="Folder of published checkpoints; the rows name those that hold their networks.")
    ] = Path("checkpoints"),
    budgets: Annotated[str, typer.Option(help="Budgets in millions, by comma; all by default.")] = "",
    seeds: Annotated[str, typer.Option(help="Seeds of the budgets that matter, by comma.")] = ",".join(map(str, SEEDS)),
    twins: Annotated[bool, typer.Option(help="Train the twins, too, and time all networks on a core.")] = True,
    order: Annotated[bool, typer.Option(help="Train on the reversal set, too.")] = True,
    workers: Annotated[int, typer.Option(help="Trainings at a time, one core each.")] = os.cpu_count() or 1,
    docs: Annotated[Path, typer.Option(help="Folder for sparsity.md, .json and .png.")] = Path("docs"),
) -> None:
    """Train what is missing, then write the page of all that is there."""
    out.mkdir(parents=True, exist_ok=True)
    datasets = DATASETS if nmnist else DATASETS[:1]
    jobs = [job for job in planned(datasets, numbers(seeds, "--seeds")) if wanted(job, numbers(budgets, "--budgets"))]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        done = {pool.submit(run_job, job, dense / f"{job.dataset}.pt", out, nmnist): job.key for job in jobs}
        if twins:
            done |= {pool.submit(run_twins, each, SEEDS[0], out, nmnist): f"{each}-twins" for each in datasets}
        if order:
            done[pool.submit(run_order, SEEDS[0], out)] = "reversal"
        done |= {pool.submit(run_dense, each, dense / f"{each}.pt", out, nmnist): f"{each}-dense" for each in datasets}
        for future in as_completed(done):
            future.result()
            Console(stderr=True).print(f"{done[future]} done")
    if twins:  # when nothing else runs
        for each in datasets:
            run_core(each, SEEDS[0], dense / f"{each}.pt", out, nmnist)
    write_page(out, docs, checkpoints)


def numbers(text: str, option: str) -> list[float]:
    """Numbers between commas."""
    try:
        return [float(part) for part in text.split(",") if part]
    except ValueError:
        raise ConfigError(f"{option} {text}: use numbers, by comma") from None


def wanted(job: Job, budgets: list[float]) -> bool:
    """Whether ``job`` is among ``budgets`` (in millions), if any are named."""
    return not budgets or job.budget / 1e6 in budgets


def write_page(out: Path, docs: Path, checkpoints: Path) -> None:
    """Write sparsity.md, sparsity.json and sparsity.png from the results in ``out``."""
    records = [record for path in sorted(out.glob("*.record.json")) for record in json.loads(path.read_text())]
    times = [record for record in records if "cpu_ms" in record]
    table = link_checkpoints(rows([record for record in records if record not in times]), checkpoints)
    add_times(table, times)
    head = HEAD.format(date=datetime.date.today().isoformat(), hardware=processor(), **RECIPE)
    page = markdown(table, head) + against_twins(table) + core_tables(times)
    texts = {"sparsity.md": page, "sparsity.json": json.dumps(table, indent=1) + "\n"}
    for name, text in texts.items():
        with atomic_path(docs / name) as temporary:
            temporary.write_text(text)
    draw(table, docs / "sparsity.png")
    print(f"wrote {', '.join(str(docs / name) for name in (*texts, 'sparsity.png'))}: {len(table)} rows")


if __name__ == "__main__":
    run(main)
