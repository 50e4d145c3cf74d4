"""The stages of ``bulk`` on Ray Data: one encoder per actor, Parquet out; on this machine or a cluster.

A cluster is the one that the environment variable RAY_ADDRESS names; its machines must see the recordings under the
same paths. Without it, Ray is started on this machine's loopback and ended afterwards.
"""

import logging
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from deploy.search.bulk import CHUNK, ChunkEncoder, Outcome
from spikinghash.errors import BackendError, in_one_line
from spikinghash.extras import told_of_extras
from training.data.reader import Reader

JOB = 100 * CHUNK
"""Recordings per job; a job's codes are committed when it is done."""
STARTS = 2
"""Attempts to start Ray."""
_STORE_BYTES = 128 * 2**20  # paths and codes are small: Ray's least is 75 MiB
_TEXTS, _TIMES = ("error", "code", "thumbnail", "remarks"), ("start", "end")
"""Of an ``Outcome``, by type."""
_ROOT = Path(__file__).resolve().parents[2]


class EncodeBatch:
    """An actor's work: paths in, codes and thumbnails, or errors, out."""

    def __init__(self, encoder: str, reader: Reader | None) -> None:
        self._stage = ChunkEncoder(Path(encoder), reader)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Encode the paths of ``batch``; a file that is cut gives a row for each window."""
        outcomes = self._stage([Path(path) for path in batch["path"]])
        numbers = dict(zip(batch["path"], batch["number"], strict=True))
        paths = [str(outcome.path) for outcome in outcomes]
        rows = [asdict(outcome) | {"remarks": "\n".join(outcome.remarks)} for outcome in outcomes]
        return {
            "number": np.array([numbers[path] for path in paths]),
            "path": np.array(paths, object),
            **{name: np.array([row[name] for row in rows], object) for name in _TEXTS},
            **{name: np.array([row[name] for row in rows], np.int64) for name in _TIMES},
        }


def encode_with_ray(
    paths: Sequence[Path],
    encoder: Path,
    out: Path,
    workers: int,
    reader: Reader | None = None,
    job: int = JOB,
) -> Iterator[list[Outcome]]:
    """Encode ``paths`` on ``workers`` actors and yield the outcomes job by job, in order.

    Job j leaves the folder ``out/jJJJJJJ`` of Parquet files with the columns number, path and those of ``Outcome``,
    one row per recording or window; its rows may be in any order.

    Raises:
        MissingToolError: Ray is not installed.
        BackendError: Ray cannot be started, or a job fails.
    """
    shutil.rmtree(out, ignore_errors=True)  # of a run that was killed before it was committed
    if not paths:
        return
    with _cluster(workers):
        for number, start in enumerate(range(0, len(paths), job)):
            folder = out.resolve() / f"j{number:06d}"
            yield _run_job(paths[start : start + job], encoder.resolve(), folder, workers, reader)


def _run_job(paths: Sequence[Path], encoder: Path, out: Path, workers: int, reader: Reader | None) -> list[Outcome]:
    import pyarrow.dataset
    import ray

    rows = [{"number": number, "path": str(path)} for number, path in enumerate(paths)]
    try:
        dataset = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // CHUNK)).map_batches(
            EncodeBatch,
            fn_constructor_args=(str(encoder), reader),
            batch_size=CHUNK,
            compute=ray.data.ActorPoolStrategy(size=min(workers, -(-len(rows) // CHUNK))),
            num_cpus=1,
        )
        dataset.write_parquet(str(out))
    except Exception as error:  # Ray wraps what its tasks raise in kinds of its own
        line = str(error).strip().splitlines()[-1:]
        raise BackendError(f"Ray: {type(error).__name__}: {''.join(line)}") from None
    table = pyarrow.dataset.dataset(out, format="parquet").to_table()
    ordered = table.sort_by([("number", "ascending"), ("start", "ascending")]).to_pylist()
    return [
        Outcome(
            Path(row["path"]),
            **{name: row[name] for name in ("error", "code", "thumbnail", *_TIMES)},
            remarks=tuple(row["remarks"].splitlines()),
        )
        for row in ordered
    ]


@contextmanager
def _cluster(workers: int) -> Iterator[None]:
    ray = _import_ray()
    # What the actors import must be found by them too.
    settings: dict[str, Any] = {"runtime_env": {"env_vars": {"PYTHONPATH": str(_ROOT)}}}
    if "RAY_ADDRESS" not in os.environ:
        settings |= {"num_cpus": workers, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    _start(ray, settings)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()


def _import_ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_ADDRESS" not in os.environ:
        # Read on import. On any system it keeps Ray, which runs what it is sent, from listening on the network: an
        # address that is asked for, as 127.0.0.1, is replaced by that of the machine.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    with told_of_extras():
        import ray
    return ray


def _start(ray: ModuleType, settings: dict[str, Any]) -> None:
    """``ray.init``, tried again: on a busy machine its processes may not find each other in the time they are given."""
    running = _children()
    for attempt in range(1, STARTS + 1):
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **settings)
            return
        except Exception as error:
            ray.shutdown()
            _end(_children() - running)
            if attempt == STARTS:
                reason = in_one_line(error)
                raise BackendError(
                    f"Ray cannot be started, tried {STARTS} times: {type(error).__name__}: {reason}"
                ) from None


def _children() -> set[int]:
    """Ids of the processes that this one has started and not awaited; none where there is no /proc."""
    return {int(pid) for thread in Path("/proc/self/task").glob("*/children") for pid in thread.read_text().split()}


def _end(processes: set[int]) -> None:
    # ray.shutdown() does not know what a ray.init() that failed has started: it would run beside the next attempt.
    for pid in processes:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
