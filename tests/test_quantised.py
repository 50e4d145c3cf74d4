"""Quantisation-aware training: on the grids, the trained network and the exported one are the same."""

import math

import numpy as np
import pytest
import torch

from export.encoder.frontend import build_graph
from export.encoder.network import build_network, probe_frames
from export.encoder.passes.fold_batch_norm import fold_batch_norm
from export.encoder.passes.fuse_linear import fuse_linear
from export.encoder.passes.quantise import streams as graph_streams
from tests.networks import DEEP, SMALL, calibrated
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.config import Config, EncoderConfig
from training.model.encoder import Spikinghash
from training.model.maps import streams
from training.quantised import choose_grids, exponent, fold, plain_weights, put_on_grids

CONVOLUTIONS = SMALL.model_copy(update={"mixers": tuple("conv" if m == "swm" else m for m in SMALL.mixers)})
ENCODERS = {"small": SMALL, "deep": DEEP, "convolutions": CONVOLUTIONS}


def on_grids(config: EncoderConfig) -> Spikinghash:
    model = calibrated(config)
    fold(model)
    put_on_grids(model, choose_grids(model))
    return model


@pytest.mark.parametrize("config", ENCODERS.values(), ids=ENCODERS)
def test_streams_are_those_of_the_graph(config: EncoderConfig) -> None:
    model = calibrated(config)
    graph = fuse_linear(fold_batch_norm(build_graph(model)))
    expected = {frozenset(stream.maps) for stream in graph_streams(graph)}
    assert {frozenset(member.name for member in stream) for stream in streams(model)} == expected
    assert {stream.maps[0] for stream in graph_streams(graph)} == {stream[0].name for stream in streams(model)}


@pytest.mark.parametrize("config", ENCODERS.values(), ids=ENCODERS)
def test_folding_changes_nothing_but_rounding_errors(config: EncoderConfig) -> None:
    model = calibrated(config).double()
    frames = torch.from_numpy(probe_frames(config, 4))
    before = model(frames).potentials
    fold(model)
    torch.testing.assert_close(model(frames).potentials, before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("config", ENCODERS.values(), ids=ENCODERS)
def test_the_network_on_grids_is_the_integer_network(config: EncoderConfig) -> None:
    model = on_grids(config)
    network = build_network(model)
    frames = torch.from_numpy(probe_frames(config, 8))
    with torch.no_grad():
        spikes = model(frames).spikes
    codes, layers = network.executor().layers(frames.numpy())
    hash_spikes = layers["hash_lif"].reshape(len(frames), config.time_steps, config.bits)
    assert np.array_equal(hash_spikes.swapaxes(0, 1), spikes.numpy())
    assert np.array_equal(codes, np.packbits(model.codes(frames).numpy(), axis=1))
    assert 0 < spikes.mean() < 1
    for step in network.grid_steps.values():
        assert math.log2(step).is_integer()
    float_codes, _ = build_network(model, "float").executor().layers(frames.numpy())
    assert np.array_equal(float_codes, codes)


def test_gradients_pass_straight_through() -> None:
    model = on_grids(SMALL)
    frames = torch.from_numpy(probe_frames(SMALL, 4))
    model(frames).potentials.square().sum().backward()
    trained = {name: value for name, value in model.named_parameters() if not name.endswith("norm.weight")}
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in trained.values())
    assert not any(value.requires_grad for name, value in model.named_parameters() if name not in trained)


def test_a_checkpoint_keeps_the_grids(tmp_path) -> None:
    model = on_grids(SMALL)
    frames = torch.from_numpy(probe_frames(SMALL, 4))
    expected = model(frames).potentials
    path = tmp_path / "q.pt"
    save_checkpoint(path, Checkpoint(Config(encoder=SMALL), plain_weights(model), 1, {}, grids=model.grids))
    assert torch.equal(load_checkpoint(path).model()(frames).potentials, expected)


@pytest.mark.parametrize(
    ("largest", "step", "expected"), [(1.0, 1 / 127, 0), (1.01, 1 / 127, 1), (4.0, 1 / 127, 2), (0, 1, 0)]
)
def test_exponent(largest: float, step: float, expected: int) -> None:
    assert exponent(largest, step) == expected
