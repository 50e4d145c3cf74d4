"""Files that other tools write, read with ``--from TOOL``: the spikes that the tool itself simulates."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from deploy.backends.graph_run import run_on_file
from export.nir.interpreter import Interpreter
from export.nir.read import assumed_time_step, read_graph
from export.nir.tools import TOOLS, Tool
from tests.interop.environment import foreign_interpreter

INTERPRETER = foreign_interpreter()

EXPORTS = Path(__file__).with_name("foreign_exports.py")
SAID_BY_PARAMETERS = {"snntorch", "spikingjelly"}
"""Tools that write r = tau/dt, so that their files tell the time step."""


@pytest.mark.parametrize("tool", TOOLS)
def test_a_file_of_the_tool_spikes_as_in_the_tool(tool: Tool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    spikes = (rng.random((3, 25, 5)) < 0.5).astype(np.float32)
    np.savez(tmp_path / "in.npz", first=rng.normal(0, 0.6, (7, 5)), second=rng.normal(0.1, 0.6, (4, 7)), spikes=spikes)
    path = tmp_path / "graph.nir"
    command = [INTERPRETER, EXPORTS, tool, tmp_path / "in.npz", path, tmp_path / "out.npz"]
    subprocess.run(command, check=True, timeout=200, capture_output=True)
    expected = np.load(tmp_path / "out.npz")["spikes"]
    assert 0.05 < expected.mean() < 0.95

    graph = read_graph(path)
    shape = Interpreter(graph).input_shape
    np.savez(tmp_path / "x.npz", spikes=spikes.reshape(3, 25, *shape))
    meant = run_on_file(path, tmp_path / "x.npz", "nir", tool=tool)
    np.testing.assert_array_equal(meant.outputs.reshape(expected.shape), expected)

    dt, _ = assumed_time_step(graph)
    plain = run_on_file(path, tmp_path / "x.npz", "nir")
    assert np.array_equal(plain.outputs.reshape(expected.shape), expected) == (tool in SAID_BY_PARAMETERS)
    assert any(f"{dt:g} s assumed" in remark for remark in plain.remarks)
