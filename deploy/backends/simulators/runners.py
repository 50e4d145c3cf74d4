"""The simulators by name, each with the module that runs it."""

import importlib
import sys
from types import ModuleType

from deploy.backends.simulators.graphs import first_line
from spikinghash.errors import MissingToolError

RUNNERS = {
    "norse": "norse_runner",
    "snntorch": "snntorch_runner",
    "spikingjelly": "spikingjelly_runner",
    "sc-neurocore": "sc_neurocore_runner",
}


def import_runner(simulator: str) -> ModuleType:
    """Import a simulator's runner, and with it the simulator.

    Raises:
        MissingToolError: this interpreter lacks the simulator or a package that it needs.
    """
    try:
        return importlib.import_module(f"deploy.backends.simulators.{RUNNERS[simulator]}")
    except ImportError as error:
        reason = f"{simulator}: {first_line(error)} in {sys.executable}"
        raise MissingToolError(f"{reason}; run 'make interop-setup'") from error
