"""Encoders on real Lava: codes, outputs and every layer, as the interpreter and the fixed-point emulator have them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.backends.emulator import EmulatorRunner
from deploy.backends.encoders import load_encoder
from deploy.backends.lava_backend import LavaBackend, find_interpreter
from deploy.backends.run import read_frames
from export.encoder.network import build_network, load_network
from export.nir.interpreter import Interpreter
from export.nir.metadata import Metadata, read_encoder
from export.nir.to_nir import export_nir
from export.nir.trace import input_spikes, output_codes, recorded_nodes
from spikinghash.errors import MissingToolError
from tests.networks import SMALL, calibrated, random_frames
from training.data.digits import write_recordings

try:
    find_interpreter()
except MissingToolError:
    pytest.skip("no Lava environment", allow_module_level=True)

pytestmark = pytest.mark.xdist_group("encoder on Lava")  # one export and one emulation serve all tests of this file
CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "digits.pt"
Recorded = tuple[Any, dict[str, Any]]
Case = tuple[Path, Metadata, Any, dict[str, Recorded]]


def expected(path: Path, frames: Any) -> Case:
    """An encoder, its input, and what it does in either kind of numbers by the references."""
    graph, metadata = read_encoder(path)
    spikes, nodes = input_spikes(frames, metadata), recorded_nodes(metadata)
    references = {"float": Interpreter(graph).run(spikes, nodes), "fixed": EmulatorRunner().run(path, spikes, nodes)}
    return path, metadata, spikes, references


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The committed checkpoint on three digits."""
    folder = tmp_path_factory.mktemp("committed")
    path = folder / "encoder.nir"
    export_nir(load_network(CHECKPOINT), path)
    digits = write_recordings(folder / "digits", range(0, 1500, 500))
    return expected(path, read_frames(digits, load_encoder(path, "nir")))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """An encoder with one wave mixer, gates and all, on random frames."""
    path = tmp_path_factory.mktemp("small") / "encoder.nir"
    export_nir(build_network(calibrated(SMALL)), path)
    return expected(path, random_frames(SMALL, 4))


@pytest.mark.parametrize("numbers", ["float", "fixed"])
@pytest.mark.parametrize(("case", "executor"), [("committed", "local"), ("small", "processes")])
def test_an_encoder_on_lava_equals_its_reference(
    case: str, executor: Any, numbers: Any, request: pytest.FixtureRequest
) -> None:
    path, metadata, spikes, references = request.getfixturevalue(case)
    outputs, layers = LavaBackend(numbers=numbers, executor=executor).run(path, spikes, recorded_nodes(metadata))
    wanted, wanted_layers = references[numbers]
    for node in recorded_nodes(metadata):
        np.testing.assert_array_equal(layers[node], wanted_layers[node], err_msg=node)
    assert sum(values.any() for values in layers.values()) > len(layers) / 2, "most layers tell nothing"
    np.testing.assert_array_equal(outputs, wanted)
    codes = output_codes(outputs)
    np.testing.assert_array_equal(codes, output_codes(wanted))
    assert len(np.unique(codes, axis=0)) >= 2
