"""Trainings with a budget, pruning, few bits and a teacher, from the config to the exported network."""

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import training.train as trainer
from export.encoder.network import build_network
from spikinghash.errors import ConfigError
from tests.networks import DEEP, SMALL, bars, calibrated, random_frames
from tests.refusals import refusal_of
from training.checkpoint import load_checkpoint
from training.config import Config, EncoderConfig, parse_config
from training.data.splits import Split
from training.model.encoder import Spikinghash
from training.model.mlp import Mlp
from training.quantised import choose_grids, fold, plain_weights, put_on_grids
from training.sparsity.distillation import Answers, Teacher
from training.sparsity.economy import mean_operations
from training.sparsity.operations import OperationMeter
from training.sparsity.pruning import RAMP, Pruning, largest, original, prunable
from training.start import fewer_levels, unfold

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def two_classes() -> Iterator[None]:
    """Trainings see bars that lie and bars that stand."""
    dataset, indices = bars(160), np.arange(160)
    sets = Split(database=indices[:100], validation=indices[100:130], test=indices[130:])
    with pytest.MonkeyPatch.context() as patch:
        for module in ("training.train", "training.sparsity.distillation"):
            patch.setattr(f"{module}.load_data", lambda _: (dataset, sets))
        yield


def experiment(train: dict[str, object], sparsity: dict[str, object]) -> Config:
    defaults = {"epochs": 4, "batch_size": 20, "max_shift": 0}
    values = {"encoder": SMALL.model_dump(), "train": defaults | train, "sparsity": sparsity}
    return parse_config(values, "test.toml")


@pytest.fixture(scope="module")
def dense(two_classes: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that was trained without a thought of cost."""
    folder = tmp_path_factory.mktemp("dense")
    trainer.train(experiment({"epochs": 12, "learning_rate": 2e-2}, {}), folder, CPU)
    return folder / trainer.LAST


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sparsity": {"prune": 0.5}}, "sparsity.prune is 0.5, but train.quantise is false"),
        ({"sparsity": {"prune_channels": 0.25}}, "sparsity.prune_channels is 0.25, but train.quantise is false"),
        ({"sparsity": {"weight_bits": 4}}, "sparsity.weight_bits is 4, but train.quantise is false"),
        ({"sparsity": {"weight_bits": 3}}, "sparsity.weight_bits: Input should be 8, 4 or 2 (value: 3)"),
        ({"sparsity": {"operations": -1.0}}, "greater than 0 (value: -1.0)"),
        (
            {"sparsity": {"teacher": "a.pt"}, "encoder": {"head": "classes"}},
            'encoder.head is "classes": codes need "hash"',
        ),
        (
            {"encoder": {"time_steps": 6}, "sparsity": {"operations": 2e6}},
            "time_steps is 6, levels is 2: use a multiple of 4",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(values: dict[str, object], message: str) -> None:
    assert message in refusal_of(values)


def test_a_budget_below_what_the_input_costs_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"operations is 900, but .* cause [\d,]+ in the first") as caught:
        trainer.train(experiment({}, {"operations": 900}), tmp_path / "none", CPU)
    assert not (tmp_path / "none").exists()
    least = int(str(caught.value).split(" cause ")[1].split(" in ")[0].replace(",", ""))
    with_more = experiment({"epochs": 1}, {"operations": least + 2})
    assert trainer.train(with_more, tmp_path / "more", CPU).history[-1]["operations"] > least


def test_a_training_keeps_its_budget(dense: Path, tmp_path: Path) -> None:
    """Half of what the dense network spends is enough for bars; metrics tell what was spent."""
    dataset, sets = trainer.load_data(experiment({}, {}))
    spent = mean_operations(load_checkpoint(dense).model(), dataset, sets.validation, "natural")
    config = experiment(
        {"epochs": 30, "learning_rate": 1e-2, "start": dense}, {"operations": spent / 2, "ramp": 0.2, "teacher": dense}
    )
    history = trainer.train(config, tmp_path / "sparse", CPU).history
    assert history[-1]["operations"] < 1.05 * spent / 2
    assert history[-1]["validation_operations"] < 1.1 * spent / 2
    assert history[-1]["validation_map"] > 0.95
    assert history[0]["operations"] > 1.4 * history[-1]["operations"]
    saved = load_checkpoint(tmp_path / "sparse" / trainer.LAST)
    assert mean_operations(saved.model(), dataset, sets.validation, "natural") == history[-1]["validation_operations"]


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(dense: Path, tmp_path: Path, monkeypatch) -> None:
    sparsity = {"operations": 2e4, "prune": 0.5, "prune_channels": 0.2, "teacher": dense}
    config = experiment({"start": dense, "quantise": True}, sparsity)
    whole = trainer.train(config, tmp_path / "whole", CPU)
    calls, original_epoch = iter(range(10)), trainer.train_epoch

    def interrupted(*arguments: object) -> float:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return original_epoch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer, "train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(config, tmp_path / "parts", CPU)
    resumed = trainer.train(config, tmp_path / "parts", CPU)
    assert resumed.history == whole.history
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_pruned_weights_stay_zero_in_the_exported_network(dense: Path, tmp_path: Path, bits: int) -> None:
    sparsity = {"prune": 0.5, "prune_channels": 0.25, "weight_bits": bits}
    config = experiment({"start": dense, "quantise": True}, sparsity)
    trainer.train(config, tmp_path / "pruned", CPU)
    saved = load_checkpoint(tmp_path / "pruned" / trainer.LAST)
    network = build_network(saved.model())
    maps = {name: node.weight for name, node in network.graph.nodes.items() if hasattr(node, "weight")}
    for name in (name for name in maps if name.endswith(("down", "expand", "contract", "qkv", "projection"))):
        weight = maps[name]
        if name != "stage1_down":
            assert np.count_nonzero(weight) <= weight.size - int(0.5 * weight.size), name
        mantissas = np.unique(np.abs(weight[weight != 0]))
        assert mantissas.max() / np.gcd.reduce(mantissas.astype(np.int64)) <= 2 ** (bits - 1) - 1, name
    hidden = 2 * np.array(SMALL.channels)
    for stage, channels in enumerate(hidden.tolist()):
        name = f"stage{stage + 1}_block0_mlp"
        silent = ~np.any(maps[f"{name}_expand"], axis=(1, 2, 3)) & ~np.any(maps[f"{name}_contract"], axis=(0, 2, 3))
        assert silent.sum() >= channels // 4
        assert not network.graph.nodes[f"{name}_expand"].bias[silent].any()  # type: ignore[union-attr]
    frames = random_frames(SMALL, 6)
    with torch.no_grad():
        codes = saved.model().codes(torch.from_numpy(frames)).numpy()
    assert np.array_equal(network.executor().layers(frames)[0], np.packbits(codes, axis=1))


def test_the_smallest_weights_go_step_by_step() -> None:
    model = copy.deepcopy(calibrated(SMALL))
    fold(model)
    put_on_grids(model, choose_grids(model))
    weight = original(next(iter(list(prunable(model))[1:])), "weight")
    before = weight.detach().clone()
    pruning, left = Pruning(model, 0.5, 0.0, 200), []
    for _ in range(200):
        pruning.before_step()
        left.append(int(torch.count_nonzero(weight)))
    assert left == sorted(left, reverse=True)
    assert left[0] == weight.numel() > left[30] > left[60] > left[-1] == weight.numel() - weight.numel() // 2
    assert left[int(RAMP * 200)] == left[-1]
    kept = weight.detach() != 0
    assert before[kept].abs().min() >= before[~kept].abs().max()
    assert largest(torch.tensor([3.0, -1.0, 2.0]).abs(), 0.4).tolist() == [1, 0, 1]


@pytest.mark.parametrize("answers", ["codes", "potentials"])
def test_a_teacher_answers_once_for_each_recording(dense: Path, answers: Answers) -> None:
    config = experiment({}, {})
    teacher, model = Teacher(dense, config, answers, CPU), load_checkpoint(dense).model()
    dataset, sets = trainer.load_data(config)
    batch = sets.validation[:10]
    asked: list[int] = []
    teacher._model.register_forward_pre_hook(lambda _, inputs: asked.append(len(inputs[0])))
    for part in (batch[5:], batch[5:], batch):
        taught = teacher.answers(part)
    assert asked == [5, 5]
    with torch.no_grad():
        output = model(torch.from_numpy(dataset.frames[batch]))
    distance = float(teacher.distance(output, taught))
    if answers == "potentials":
        assert distance == 0
        return
    bits = 2.0 * (output.spikes.sum(0) >= SMALL.votes) - 1
    assert torch.equal(taught, bits)
    expected = float((torch.tanh(output.spikes.sum(0) - SMALL.votes + 0.5) - bits).square().mean())
    assert distance == pytest.approx(expected, rel=1e-5)


def test_a_teacher_of_other_codes_is_refused(dense: Path) -> None:
    config = experiment({}, {})
    longer = config.model_copy(update={"encoder": SMALL.model_copy(update={"bits": 16})})
    with pytest.raises(ConfigError, match=r"answers with 8 hash neurons, encoder\.bits is 16"):
        Teacher(dense, longer, "codes", CPU)


@pytest.mark.parametrize("config", [SMALL, DEEP], ids=["small", "deep"])
def test_unfolding_undoes_folding(config: EncoderConfig) -> None:
    model = copy.deepcopy(calibrated(config)).double()
    frames = torch.from_numpy(random_frames(config, 30))
    before = model(frames).potentials
    fold(model)
    fresh = Spikinghash(config).double()
    fresh.load_state_dict(plain_weights(model))
    unfold(fresh, frames)
    torch.testing.assert_close(fresh.eval()(frames).potentials, before, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(fresh.train()(frames).potentials, before, rtol=1e-2, atol=1e-2)
    assert all(parameter.requires_grad for parameter in fresh.parameters())


def test_fewer_levels_keep_what_a_block_has_in_common() -> None:
    """With all fusions alike, a mixer does not depend on its levels."""
    two = SMALL.model_copy(update={"levels": (2, 1, 0)})
    one = SMALL.model_copy(update={"levels": (1, 1, 0)})
    model, fresh = Spikinghash(two), Spikinghash(one)
    weights = model.state_dict()
    name = "stages.0.blocks.0.mixer.mixer.fusion"
    weights[name] = weights[name][:1].expand_as(weights[name]).clone()
    merged = fewer_levels(weights, two, one)
    assert merged[name].shape == fresh.state_dict()[name].shape
    model.load_state_dict(weights)
    fresh.load_state_dict(merged)
    frames = torch.from_numpy(random_frames(SMALL, 4))
    assert torch.equal(model.eval()(frames).spikes, fresh.eval()(frames).spikes)
    distinct = torch.arange(15.0)
    assert fewer_levels({name: distinct}, two, one)[name].tolist() == [2.0, *range(8, 15)]


def test_a_network_of_fewer_steps_starts_from_one_of_more(dense: Path, tmp_path: Path) -> None:
    halved = SMALL.model_copy(update={"time_steps": 2, "levels": (1, 1, 0)})
    values = {"encoder": halved.model_dump(), "train": {"start": str(dense)}}
    model = Spikinghash(halved)
    trainer.start_from(model, torch.nn.Identity(), dense)
    saved = load_checkpoint(dense)
    for name, value in model.state_dict().items():
        if "stages.0.blocks.0.mixer.mixer.fusion" not in name:
            assert torch.equal(value, saved.weights[name]), name
    assert parse_config(values, "halved").encoder.votes == 2


def test_every_mlp_is_counted() -> None:
    model = calibrated(DEEP)
    meter = OperationMeter(model)
    assert sum(module.watch is not None for module in model.modules() if isinstance(module, Mlp)) == 3
    meter.close()
    assert not any(module.watch is not None for module in model.modules() if isinstance(module, Mlp))
