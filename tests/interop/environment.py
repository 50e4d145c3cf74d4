"""The environment of the foreign simulators; test modules that need it are skipped where it is missing."""

import subprocess

import pytest

from deploy.backends.simulator_backend import find_interpreter
from spikinghash.errors import MissingToolError


def foreign_interpreter(package: str | None = None) -> str:
    """The interpreter of the environment, in which ``package`` can be imported; else the module is skipped."""
    try:
        interpreter = find_interpreter()
    except MissingToolError as error:
        pytest.skip(str(error), allow_module_level=True)
    command = [interpreter, "-c", f"import {package}"]
    if package and subprocess.run(command, capture_output=True, check=False).returncode:
        what = f"the environment of the foreign simulators has no {package}: make interop-setup"
        pytest.skip(what, allow_module_level=True)
    return interpreter
