"""Runs placed Lava processes in Lava's multi-process runtime."""

import os
import resource
import time
from collections.abc import Callable, Sequence

import numpy as np
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.lif.models import PyLifResetModelFloat
from lava.proc.lif.process import LIFReset

from deploy.backends.lava.placement import PlacedNetwork
from deploy.backends.lava.processes.attention import (
    DynamicProduct,
    FixedDynamicProduct,
    PyDynamicProduct,
    PyFixedDynamicProduct,
)
from deploy.backends.lava.processes.clocked_neurons import (
    ClockedLIF,
    FixedLIF,
    GradedLIF,
    PyClockedLIF,
    PyFixedLIF,
    PyGradedLIF,
)
from deploy.backends.lava.processes.frame_source import FrameSource, PyFrameSource
from deploy.backends.lava.processes.recorder import PyRecorder, Recorder
from deploy.backends.lava.processes.synapse_blocks import (
    FixedSynapseBlocks,
    PyFixedSynapseBlocks,
    PySynapseBlocks,
    SynapseBlocks,
)
from deploy.backends.lava.watchdog import Actor, Mailbox, Watchdog, first_failure
from spikinghash.errors import BackendError, MissingToolError

MODELS = {
    DynamicProduct: PyDynamicProduct,
    FixedDynamicProduct: PyFixedDynamicProduct,
    ClockedLIF: PyClockedLIF,
    FixedLIF: PyFixedLIF,
    FixedSynapseBlocks: PyFixedSynapseBlocks,
    FrameSource: PyFrameSource,
    LIFReset: PyLifResetModelFloat,
    SynapseBlocks: PySynapseBlocks,
    Recorder: PyRecorder,
    GradedLIF: PyGradedLIF,
}

CHANNEL_SIZE = 2
"""Messages that a channel buffers. Lava's default of 64 multiplies the shared memory and gains nothing in lock step."""

SHARED_MEMORY = "/dev/shm"
REMEDY = "free some or give more, or use the executor 'local'"
DESCRIPTORS_PER_PROCESS = 12
OnStep = Callable[[int], None]
SLICE_SECONDS = 0.5
"""Steps run in slices of at least this long, so that progress can be told."""


def simulate(placed: PlacedNetwork, watchdog: Watchdog, on_step: OnStep) -> None:
    """Run all steps of ``placed``; its recordings are complete afterwards.

    Args:
        placed: the processes to run.
        watchdog: ends the whole OS process when one of Lava's processes dies.
        on_step: called with the number of steps done, about once per ``SLICE_SECONDS``.

    Raises:
        MissingToolError: the machine does not allow enough open files, or has too little shared memory.
        BackendError: a process failed. Lava cannot be stopped then: end its processes and leave without clean-up.
    """
    _allow_open_files(100 + DESCRIPTORS_PER_PROCESS * len(placed.processes))
    _check_shared_memory(channel_bytes(placed.processes))
    first = placed.processes[0]
    # By instance, not by class: for a class Lava's compiler executes every file beside the process to find its models.
    models = {process: MODELS[type(process)] for process in placed.processes}
    configuration = Loihi2SimCfg(exception_proc_model_map=models)
    first.create_runtime(configuration, compile_config={"pypy_channel_size": CHANNEL_SIZE})
    actors = _actors(first)
    with watchdog.watching(actors):
        try:
            _run_in_slices(first, placed.steps, on_step)
        except RuntimeError as error:  # says only how many processes failed
            raise BackendError(first_failure(actors) or str(error)) from error
    first.stop()


def channel_bytes(processes: Sequence[AbstractProcess]) -> int:
    """Shared memory that Lava's channels between ``processes`` take."""
    total = 0
    for process in processes:
        for port in process.out_ports:
            item = np.dtype(getattr(MODELS[type(process)], port.name).d_type).itemsize
            total += CHANNEL_SIZE * item * int(np.prod(port.shape)) * len(port.get_dst_ports())
    return total


def _check_shared_memory(needed: int) -> None:
    try:
        room = os.statvfs(SHARED_MEMORY)
    except OSError as error:
        raise MissingToolError(
            f"Lava needs shared memory, {SHARED_MEMORY} cannot be used: {error.strerror}: {REMEDY}"
        ) from None
    free = room.f_bavail * room.f_frsize
    if not os.access(SHARED_MEMORY, os.W_OK):
        raise MissingToolError(f"Lava needs shared memory, {SHARED_MEMORY} cannot be written: {REMEDY}")
    if free < needed:
        raise MissingToolError(
            f"Lava needs {needed:,} bytes of shared memory, {SHARED_MEMORY} has {free:,} left: {REMEDY}"
        )


def _run_in_slices(process: AbstractProcess, steps: int, on_step: Callable[[int], None]) -> None:
    done, size = 0, 1
    while done < steps:
        begin = time.monotonic()
        process.run(RunSteps(num_steps=min(size, steps - done)))
        done = min(done + size, steps)
        on_step(done)
        if time.monotonic() - begin < SLICE_SECONDS:
            size *= 2


def _actors(process: AbstractProcess) -> list[Actor]:
    """The OS processes of the runtime: Lava starts the processes in the order of their builders, services last."""
    runtime = process.runtime
    processes = list(runtime._messaging_infrastructure.actors)
    names = [built.name for built in runtime._executable.proc_builders]
    names += ["runtime service"] * (len(processes) - len(names))
    for each in processes:
        each._pconn = Mailbox(each._pconn)
    return [Actor(name, actor) for name, actor in zip(names, processes, strict=True)]


def _allow_open_files(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise MissingToolError(
            f"Lava needs {needed} open files, the limit is {hard}: raise it with `ulimit -Hn {needed}`"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
