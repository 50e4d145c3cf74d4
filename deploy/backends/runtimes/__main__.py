"""Run one ONNX model in one runtime, with the interpreter of the simulators' environment.

Exit codes: 0 done, 2 a runtime that is missing or failed; the last line on standard error then says why.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

from deploy.backends.foreign import exit_code, load_runner
from deploy.backends.runtimes import RUNNERS
from spikinghash.errors import BackendError, in_one_line
from spikinghash.files import atomic_path


def main() -> int:
    """Parse the command line, run, and return the exit code."""
    arguments = _parser().parse_args()
    files = arguments.model, arguments.input, arguments.output
    names, exact = tuple(arguments.outputs.split(",")), not arguments.as_it_comes
    return exit_code(lambda: encode(arguments.runtime, *files, names, exact))


def encode(runtime: str, model: Path, source: Path, target: Path, names: tuple[str, ...], exact: bool = True) -> None:
    """Run ``model`` on the frames (B, T, 2, H, W) in ``source``; write its outputs, by ``names``, to ``target``.

    ``seconds`` (B,) beside them is what each recording took of the processor; the first has loading before it.

    Args:
        exact: in float32; else as the runtime chooses.

    Raises:
        MissingToolError: this interpreter lacks the runtime.
        BackendError: the runtime refused the model or failed.
    """
    runner = load_runner("deploy.backends.runtimes", RUNNERS[runtime], runtime)
    with np.load(source) as archive:
        frames = archive["frames"]
    try:
        answers, spent = [], [_processor_seconds()]
        for answer in runner.run(model, frames, names, exact):
            answers.append(answer)
            spent.append(_processor_seconds())
    except Exception as error:  # foreign code: whatever it raises is its answer to this model
        raise BackendError(f"{runtime}: {model}: {type(error).__name__}: {in_one_line(error)}") from error
    joined = {name: np.concatenate([answer[name] for answer in answers]) for name in names}
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, seconds=np.diff(spent), **joined)


def _processor_seconds() -> float:
    """Of this process and those that it waited for."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.backends.runtimes", description="Run an ONNX model in a runtime."
    )
    parser.add_argument("runtime", choices=RUNNERS)
    parser.add_argument("model", type=Path, help="the ONNX model")
    parser.add_argument("input", type=Path, help=".npz with 'frames', uint8 (B, T, 2, H, W)")
    parser.add_argument("output", type=Path, help=".npz to write: an array per output")
    parser.add_argument("--outputs", required=True, help="names of the model's outputs, in its order, by commas")
    parser.add_argument("--as-it-comes", action="store_true", help="do not ask the runtime for float32")
    return parser


if __name__ == "__main__":
    sys.exit(main())
