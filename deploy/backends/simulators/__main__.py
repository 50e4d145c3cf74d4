"""Run one NIR file in one simulator, with the interpreter of the simulators' environment.

Exit codes: 0 done, 2 bad input or a simulator that failed; the last line on standard error then says why.
"""

import argparse
import sys
from pathlib import Path

from deploy.backends.foreign import exit_code, load_runner
from deploy.backends.simulators import LOWERED, RUNNERS
from deploy.backends.simulators.graphs import check_request, first_line, read_planned
from deploy.backends.simulators.recording import write_recording
from spikinghash.arrays import read_spikes
from spikinghash.errors import BackendError, GraphError


def main() -> int:
    """Parse the command line, run, and return the exit code."""
    arguments = _parser().parse_args()
    record = tuple(name for name in arguments.record.split(",") if name)
    files = arguments.graph, arguments.input, arguments.output
    return exit_code(lambda: simulate(arguments.simulator, *files, record, arguments.threads))


def simulate(simulator: str, path: Path, source: Path, target: Path, record: tuple[str, ...], threads: int = 1) -> None:
    """Run the NIR file ``path`` on the spikes in ``source``; write outputs and recorded spikes to ``target``.

    Raises:
        GraphError: the graph, the input or a recorded name cannot be used.
        MissingToolError: this interpreter lacks the simulator or a package that it needs.
        BackendError: the simulator refused the graph or failed.
    """
    graph = read_planned(path, None) if simulator in LOWERED else read_planned(path)
    spikes = read_spikes(source)
    check_request(graph, path, spikes, record)
    runner = load_runner("deploy.backends.simulators", RUNNERS[simulator], simulator)
    try:
        options = {"threads": threads} if simulator in LOWERED else {}
        recording = runner.run(graph, spikes, record, **options)
    except GraphError as error:
        raise GraphError(f"{simulator}: {path}: {error}") from None
    except Exception as error:  # foreign code: whatever it raises is its answer to this graph
        raise BackendError(f"{simulator}: {path}: {type(error).__name__}: {first_line(error)}") from error
    write_recording(target, recording)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.backends.simulators", description="Run a NIR file in a simulator."
    )
    parser.add_argument("simulator", choices=RUNNERS)
    parser.add_argument("graph", type=Path, help="the NIR file")
    parser.add_argument("input", type=Path, help=".npz with 'spikes', float32 (samples, steps, *input shape)")
    parser.add_argument("output", type=Path, help=".npz to write: 'outputs', and 'recorded_NODE' per recorded node")
    parser.add_argument("--record", default="", help="names of spiking nodes, separated by commas")
    parser.add_argument("--threads", type=int, default=1, help="of NEST")
    return parser


if __name__ == "__main__":
    sys.exit(main())
