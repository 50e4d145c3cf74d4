"""Every part of the network and of the loss can be taken out by one key of the config."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import training.train as trainer
from export.encoder.network import build_network, probe_frames
from spikinghash.errors import ConfigError
from tests.networks import SMALL, bars, calibrated
from tests.test_model import hash_output
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.config import Config, DataConfig, EncoderConfig, TrainConfig
from training.data.frames import Dataset
from training.data.splits import split
from training.loss import HashLoss
from training.model.encoder import Spikinghash
from training.train import train

CHANGES = [
    {"mixers": ("swm", "swm", "swm"), "levels": (1, 1, 1)},
    {"mixers": ("ssa", "ssa", "ssa"), "heads": (2, 2, 4)},
    {"mixers": ("conv", "conv", "ssa")},
    {"mixers": ("dwconv", "swm", "dwconv"), "levels": (0, 1, 0)},
    {"levels": (0, 0, 0)},
    {"wavelet": "time"},
    {"wavelet": "space"},
    {"bits": 16},
    {"bits": 128},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_every_variant_computes_alike_in_torch_and_as_a_graph(changes: dict[str, object]) -> None:
    config = EncoderConfig.model_validate(SMALL.model_dump() | changes)
    model = calibrated(config)
    frames = probe_frames(config, 6)
    float_codes, _ = build_network(model, "float").executor().layers(frames)
    assert np.array_equal(float_codes, np.packbits(model.codes(torch.from_numpy(frames)).numpy(), axis=1))


def test_the_loss_follows_the_labels_that_it_is_told_to() -> None:
    output, labels = hash_output(3)
    both, hard, soft = (HashLoss(3, 0.7, 0.0, kind).double()(output, labels) for kind in ("both", "hard", "soft"))
    torch.testing.assert_close(both, hard + soft)
    (of_hard,) = torch.autograd.grad(hard, output.potentials, allow_unused=True, retain_graph=True)
    assert of_hard is None
    (of_soft,) = torch.autograd.grad(soft, output.potentials, retain_graph=True)
    assert of_soft.any()


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """What every training of a test finds in the place of a real data set."""
    dataset = replace(bars(), classes=("lying", "standing"))
    monkeypatch.setattr("training.train.load_data", lambda config: (dataset, split(dataset.labels)))
    return dataset


def tiny(encoder: EncoderConfig = SMALL, **settings: object) -> Config:
    train_config = {"epochs": 5, "batch_size": 16, "learning_rate": 5e-3, "max_shift": 0} | settings
    return Config(data=DataConfig(), encoder=encoder, train=TrainConfig.model_validate(train_config))


def test_a_classification_head_learns_and_counts_as_it_was_trained(data: Dataset, tmp_path: Path) -> None:
    encoder = SMALL.model_copy(update={"head": "classes", "bits": 2})
    experiment = train(tiny(encoder, epochs=8), tmp_path, torch.device("cpu"))
    assert experiment.history[-1]["validation_accuracy"] > 0.9
    saved = load_checkpoint(tmp_path / "last.pt")
    assert saved.classes == ("lying", "standing")
    found = build_network(saved.model(), "float").executor().encode(data.frames)
    assert (found.argmax(1) == data.labels).mean() > 0.9
    narrow = tiny(SMALL.model_copy(update={"head": "classes", "bits": 2}))
    data.labels[:] = np.arange(len(data)) % 3
    with pytest.raises(ConfigError, match="bits is 2, the data set has 3 classes"):
        train(narrow, tmp_path / "other", torch.device("cpu"))


def test_fine_tuning_starts_from_what_fits(data: Dataset, tmp_path: Path) -> None:
    first = train(tiny(), tmp_path / "a", torch.device("cpu"))
    start = tmp_path / "a" / "last.pt"
    longer = SMALL.model_copy(update={"bits": 16})
    second = train(tiny(longer, start=start, epochs=1, learning_rate=1e-9), tmp_path / "b", torch.device("cpu"))
    assert isinstance(second.loss, HashLoss)
    learned = {key: load_checkpoint(start).metrics[key] for key in ("alpha", "beta")}
    assert second.loss.similarity.learned() == pytest.approx(learned)
    kept = load_checkpoint(start).weights["stages.0.down.conv.weight"]
    torch.testing.assert_close(second.model.state_dict()["stages.0.down.conv.weight"], kept, rtol=0, atol=1e-5)
    assert second.model.head.linear.weight.shape[0] == 16
    assert first.model.head.linear.weight.shape[0] == 8


def test_training_on_the_grids_resumes_to_the_same_weights(data: Dataset, tmp_path: Path) -> None:
    train(tiny(), tmp_path / "float", torch.device("cpu"))
    settings = {"start": tmp_path / "float" / "last.pt", "quantise": True, "learning_rate": 1e-3}
    whole = train(tiny(**settings), tmp_path / "whole", torch.device("cpu"))
    stopped = tiny(**settings)

    original = trainer.train_epoch

    def one_epoch(experiment, *_):
        if experiment.epoch == 1:
            raise KeyboardInterrupt
        return original(experiment, *_)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "train_epoch", one_epoch)
        with pytest.raises(KeyboardInterrupt):
            train(stopped, tmp_path / "parts", torch.device("cpu"))
    resumed = train(stopped, tmp_path / "parts", torch.device("cpu"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_a_network_trained_on_grids_is_exported_as_it_is(data: Dataset, tmp_path: Path) -> None:
    train(tiny(), tmp_path / "float", torch.device("cpu"))
    fine = tiny(start=tmp_path / "float" / "last.pt", quantise=True, epochs=2, learning_rate=1e-3)
    train(fine, tmp_path / "grids", torch.device("cpu"))
    model = load_checkpoint(tmp_path / "grids" / "last.pt").model()
    frames = data.frames[:40]
    with torch.no_grad():
        trained = model(torch.from_numpy(frames)).spikes
    _, layers = build_network(model).executor().layers(frames)
    assert np.array_equal(layers["hash_lif"].reshape(40, 4, 8).swapaxes(0, 1), trained.numpy())


def test_grids_need_a_trained_network(tmp_path: Path, data: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"train\.start names no checkpoint"):
        train(tiny(quantise=True), tmp_path, torch.device("cpu"))
    alien = Spikinghash(SMALL.model_copy(update={"channels": (2, 4, 4), "heads": (0, 0, 2)}))
    save_checkpoint(tmp_path / "alien.pt", Checkpoint(Config(encoder=alien.config), alien.state_dict(), 1, {}))
    fitting = train(tiny(start=tmp_path / "alien.pt", epochs=1), tmp_path / "a", torch.device("cpu"))
    assert fitting.epoch == 1
