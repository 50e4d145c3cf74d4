"""Configs, checkpoints, and that an interrupted training ends like one that was never interrupted."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import training.train as trainer
from spikinghash.errors import CheckpointError, ConfigError
from spikinghash.files import sweep_folder
from tests.refusals import refusal_of
from training.augment import random_shift
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.config import Config, EncoderConfig, load_config, parse_config
from training.data.digits import write_recordings
from training.model.encoder import Spikinghash
from training.publish import main as publish

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"encoder": {"colour": 1}}, "encoder.colour: unknown key"),
        ({"speed": 3}, "speed: unknown key"),
        ({"encoder": {"time_steps": 6}}, "stage 1: time_steps is 6, levels is 2: use a multiple of 4"),
        ({"encoder": {"time_steps": 48}}, "time_steps is 48, limit 32: a potential gains a bit in each step"),
        ({"encoder": {"size": 40}}, "size is 40, but 4 stages halve it 4 times: use a multiple of 16"),
        ({"encoder": {"heads": [0, 0, 7, 6]}}, "stage 3: heads is 7, channels is 64: use a divisor"),
        ({"encoder": {"levels": [2, 1]}}, "levels has 2 entries, channels has 4"),
        ({"encoder": {"levels": [5, 1, 0, 0], "time_steps": 32}}, "stage 1: levels is 5: use 0 to 3"),
        (
            {"encoder": {"levels": [1, 2, 1, 1], "mixers": ["swm"] * 4, "size": 48}},
            "stage 4: maps are 3x3, levels is 1",
        ),
        ({"encoder": {"channels_per_group": 5}}, "stage 1: channels_per_group is 5, channels is 24"),
        ({"encoder": {"vote": 9}}, "vote is 9, time_steps is 8"),
        ({"encoder": {"bits": 12}}, "multiple of 8"),
        ({"train": {"epochs": 0}}, "greater than or equal to 1"),
        ({"data": {"name": "folder", "window_ms": 0.003}}, "my.toml: data.window_ms is 0.003, 3 us, but 8 time steps"),
        ({"data": {"sensor": "48"}}, 'data.sensor: WIDTHxHEIGHT in pixels is needed, as "346x260" (value: 48)'),
    ],
)
def test_bad_configs_are_refused_in_one_line(values: dict[str, object], message: str) -> None:
    refusal = refusal_of(values)
    assert message in refusal
    assert refusal.startswith("my.toml: ")
    assert "value: {" not in refusal


def test_unreadable_configs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"digitz: cannot be read: .*; by name there are .*; did you mean 'digits'\?"):
        load_config(Path("digitz"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[data\n")
    with pytest.raises(ConfigError, match="not a TOML file"):
        load_config(tmp_path / "bad.toml")


@pytest.mark.parametrize("name", ["digits.toml", "digits-grids.toml", "small.toml"])
def test_shipped_configs_load(name: str) -> None:
    assert load_config(ROOT / "configs" / name).data.name == "digits"


def test_default_encoder_is_the_dense_one() -> None:
    committed = load_checkpoint(ROOT / "checkpoints" / "dense" / "digits.pt")
    assert committed.config.encoder == EncoderConfig()
    assert 200_000 < sum(parameter.numel() for parameter in committed.model().parameters()) < 400_000


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    config = parse_config(tiny(), "tiny")
    model = Spikinghash(config.encoder)
    save_checkpoint(tmp_path / "a.pt", Checkpoint(config, model.state_dict(), 3, {"loss": 1.0}))
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert loaded.config == config
    assert all(torch.equal(value, loaded.weights[name]) for name, value in model.state_dict().items())
    (tmp_path / "b.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="truncated"):
        load_checkpoint(tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / "none.pt")


def tiny(root: Path | None = None) -> dict[str, object]:
    data: dict[str, object] = {} if root is None else {"name": "nmnist", "root": str(root)}
    encoder = {
        "time_steps": 4, "size": 16, "channels": [4, 8], "blocks": [1, 1], "mixers": ["swm", "ssa"], "levels": [1, 0],
        "heads": [0, 4], "mlp_ratio": 1, "bits": 8,
    }  # fmt: skip
    return {"data": data, "encoder": encoder, "train": {"epochs": 3, "batch_size": 10}}


@pytest.fixture
def few_recordings(tmp_path: Path, cache_folder: Path) -> Path:
    """Five recordings of each of ten classes, in tonic's layout."""
    write_recordings(tmp_path / "NMNIST" / "Train", [500 * label + index for label in range(10) for index in range(5)])
    return tmp_path


def test_interrupted_training_ends_like_an_uninterrupted_one(few_recordings: Path, tmp_path: Path) -> None:
    config = parse_config(tiny(few_recordings), "tiny")
    whole = trainer.train(config, tmp_path / "whole", torch.device("cpu"))

    class StopError(Exception):
        pass

    def interrupted(*arguments: object) -> None:
        raise StopError

    with pytest.MonkeyPatch.context() as patch:
        calls = iter(range(10))
        original = trainer.train_epoch
        patch.setattr(trainer, "train_epoch", lambda *each: original(*each) if next(calls) < 2 else interrupted())
        with pytest.raises(StopError):
            trainer.train(config, tmp_path / "parts", torch.device("cpu"))
    resumed = trainer.train(config, tmp_path / "parts", torch.device("cpu"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert whole.history == resumed.history
    for name in (trainer.LAST, trainer.METRICS, trainer.CURVE):
        assert (tmp_path / "parts" / name).stat().st_size > 0
    assert (tmp_path / "parts" / trainer.METRICS).read_text() == (tmp_path / "whole" / trainer.METRICS).read_text()


def test_what_is_published_is_the_last_epoch_of_a_finished_training(few_recordings: Path, tmp_path: Path) -> None:
    values = tiny(few_recordings)
    config = parse_config(values | {"train": {"epochs": 6, "batch_size": 10}}, "tiny")
    trained = trainer.train(config, tmp_path, torch.device("cpu"))
    assert [record["epoch"] for record in trained.history if "validation_map" in record] == [5, 6]
    publish(tmp_path / trainer.LAST, tmp_path / "published.pt")
    published = load_checkpoint(tmp_path / "published.pt")
    assert published.resume is None
    assert published.config.data.root is None
    assert published.epoch == 6
    for name, value in trained.model.state_dict().items():
        assert torch.equal(value, published.weights[name]), name

    unfinished = replace(published, epoch=4)
    save_checkpoint(tmp_path / "unfinished.pt", unfinished)
    with pytest.raises(CheckpointError, match="has done 4 of 6 epochs: let it end"):
        publish(tmp_path / "unfinished.pt", tmp_path / "none.pt")
    assert not (tmp_path / "none.pt").exists()


def test_what_a_killed_training_did_not_draw_is_drawn_by_the_next(few_recordings: Path, tmp_path: Path) -> None:
    config, out = parse_config(tiny(few_recordings), "tiny"), tmp_path / "run"
    trainer.train(config, out, torch.device("cpu"))
    metrics = (out / trainer.METRICS).read_text()
    for name in (trainer.METRICS, trainer.CURVE):
        (out / name).unlink()
    (out / ".curve.part-abcdefgh.png").touch()
    sweep_folder.cache_clear()  # as in a process of its own
    trainer.train(config, out, torch.device("cpu"))
    assert (out / trainer.METRICS).read_text() == metrics
    assert {path.name for path in out.iterdir()} == {trainer.LAST, trainer.METRICS, trainer.CURVE}


def test_a_run_of_another_config_is_not_resumed(few_recordings: Path, tmp_path: Path) -> None:
    config = parse_config(tiny(few_recordings), "tiny")
    trainer.train(
        config.model_copy(update={"train": config.train.model_copy(update={"epochs": 1})}),
        tmp_path,
        torch.device("cpu"),
    )
    with pytest.raises(ConfigError, match="another config"):
        trainer.train(config, tmp_path, torch.device("cpu"))


def test_shift_moves_zeros_in() -> None:
    frames = torch.arange(2 * 1 * 1 * 5 * 5).reshape(2, 1, 1, 5, 5) + 1
    shifted = random_shift(frames, 2, torch.Generator().manual_seed(3))
    assert shifted.shape == frames.shape
    for before, after in zip(frames, shifted, strict=True):
        found = set(after.unique().tolist()) - {0}
        assert found <= set(before.unique().tolist())
        assert found
    assert torch.equal(random_shift(frames, 0, torch.Generator()), frames)


def test_defaults_make_a_config() -> None:
    assert Config().encoder.votes == 5
