"""The committed checkpoint in simulators that we did not write: the same codes and spikes, layer by layer."""

from pathlib import Path

import pytest
import torch

from deploy.backends.verify import choose_frames, verify
from export.encoder.network import load_network
from tests.interop.environment import foreign_interpreter
from tests.interop.recordings import SAMPLES, half_real
from training.config import load_config
from training.train import LAST, train

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "checkpoints" / "digits.pt"

foreign_interpreter()


@pytest.mark.timeout(900)
def test_committed_checkpoint_in_foreign_simulators(nmnist_folder: Path) -> None:
    """Half digits, half real recordings."""
    network = load_network(CHECKPOINT)
    frames = half_real(nmnist_folder, network.config.time_steps)
    backends = ["onnxruntime", "nir", "lava", "norse", "snntorch", "spikingjelly"]
    for result in verify(network, CHECKPOINT, frames, backends, {}):
        assert result.equal, result
        assert len(result.counts) == 23


@pytest.mark.timeout(900)
def test_small_trained_network_in_all_simulators(tmp_path: Path) -> None:
    """The same blocks, trained for a minute, also on sc-neurocore, whose executor shares nothing with the others."""
    config = load_config(ROOT / "configs" / "small.toml")
    experiment = train(config, tmp_path, torch.device("cpu"))
    assert experiment.history[-1]["loss"] < experiment.history[0]["loss"]
    frames = choose_frames(experiment.dataset, SAMPLES)
    backends = ["onnxruntime", "nir", "lava", "nest", "norse", "snntorch", "spikingjelly", "sc-neurocore"]
    for result in verify(load_network(tmp_path / LAST), tmp_path / LAST, frames, backends, {}):
        assert result.equal, result
