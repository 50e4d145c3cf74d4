"""What processes in the environment of the foreign simulators share: how they find a runner, and how they end."""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType

from spikinghash.errors import MissingToolError, SpikinghashError, in_one_line


def load_runner(package: str, module: str, name: str) -> ModuleType:
    """The module of ``package`` that runs the tool ``name``.

    Raises:
        MissingToolError: this interpreter lacks the tool, or a package that it needs.
    """
    try:
        return importlib.import_module(f"{package}.{module}")
    except ImportError as error:
        why = f"{name}: {in_one_line(error)} in {sys.executable}"
        raise MissingToolError(f"{why}; run 'make interop-setup'") from error


def exit_code(work: Callable[[], None]) -> int:
    """Do ``work``, say on standard error why it failed, and return the exit code."""
    try:
        work()
    except SpikinghashError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0
