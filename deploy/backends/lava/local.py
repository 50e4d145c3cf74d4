"""Runs placed Lava processes inside this OS process: the models' own ``run_spk``, one thread each, over local ports.

Lava's builder makes the models, so that their variables and ports are those of a real run; only the channels differ:
queues in place of shared memory. There is no runtime service: each model counts its own time steps, and the bounded
channels keep them together.
"""

import queue
import threading
import traceback
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lava.magma.compiler.builders.py_builder import PyProcessBuilder
from lava.magma.compiler.utils import PortInitializer, VarInitializer
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess

from deploy.backends.lava.placement import PlacedNetwork
from deploy.backends.lava.simulation import CHANNEL_SIZE, MODELS, OnStep
from spikinghash.errors import BackendError

TELL_SECONDS = 0.5
"""How often progress is told."""


@dataclass
class _End:
    """One end of a channel, named after the port of its model."""

    name: str
    messages: "queue.Queue[np.ndarray]"
    dtype: Any
    """Of the sending port, to which Lava's channels cast."""
    shape: tuple[int, ...]

    def send(self, data: np.ndarray) -> None:
        if data.shape != self.shape:
            raise ValueError(f"port {self.name} sends shape {data.shape}, it is {self.shape}")
        self.messages.put(np.array(data, self.dtype))

    def recv(self) -> np.ndarray:
        return self.messages.get()


@dataclass
class _Runner:
    """A model on its way through the steps."""

    name: str
    model: PyLoihiProcessModel
    steps: int
    failure: str | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            while self.model.time_step < self.steps:
                self.model.time_step += 1
                self.model.run_spk()
        except Exception as error:
            traceback.print_exc()
            self.failure = f"{self.name}: {type(error).__name__}: {error}"
        self.ended.set()


def simulate_locally(placed: PlacedNetwork, on_step: OnStep) -> None:
    """Run all steps of ``placed``; its recordings are complete afterwards.

    Args:
        placed: the processes to run.
        on_step: called with the number of steps done when it has grown, at most once per ``TELL_SECONDS``.

    Raises:
        BackendError: a model failed; the others then wait for it for ever, in threads that end with the OS process.
    """
    models = build_models(placed.processes)
    runners = [_Runner(process.name, model, placed.steps) for process, model in models.items()]
    for runner in runners:
        threading.Thread(target=runner.run, name=runner.name, daemon=True).start()
    told = 0
    for runner in runners:
        while not runner.ended.wait(TELL_SECONDS):
            _check(runners)
            done = min(runner.model.time_step for runner in runners)
            if done > told:  # silence is how a supervisor knows that a model hangs
                on_step(told := done)
    _check(runners)
    on_step(placed.steps)


def _check(runners: Sequence[_Runner]) -> None:
    failure = next((runner.failure for runner in runners if runner.failure), None)
    if failure:
        raise BackendError(failure)


def build_models(processes: Sequence[AbstractProcess]) -> dict[AbstractProcess, PyLoihiProcessModel]:
    """The processes' models, joined by local channels; only direct connections from port to port are known."""
    ends: dict[AbstractProcess, list[_End]] = defaultdict(list)
    for process in processes:
        for port in process.out_ports:
            for target in port.get_dst_ports():
                dtype = getattr(MODELS[type(process)], port.name).d_type
                messages: queue.Queue[np.ndarray] = queue.Queue(CHANNEL_SIZE)
                ends[process].append(_End(port.name, messages, dtype, port.shape))
                ends[target.process].append(_End(target.name, messages, dtype, port.shape))
    return {process: _build(process, ends[process]) for process in processes}


def _build(process: AbstractProcess, ends: Sequence[_End]) -> PyLoihiProcessModel:
    model = MODELS[type(process)]
    builder = PyProcessBuilder(model, 0, process.proc_params)
    builder.set_variables([VarInitializer(var.name, var.shape, var.init, var.id) for var in process.vars])
    builder.set_py_ports([_port(model, port) for port in (*process.in_ports, *process.out_ports)])
    builder.set_csp_ports(list(ends))
    return builder.build()


def _port(model: type[PyLoihiProcessModel], port: Any) -> PortInitializer:
    kind = "OutPort" if isinstance(port, OutPort) else "InPort"
    return PortInitializer(port.name, port.shape, getattr(model, port.name).d_type, kind, CHANNEL_SIZE)
