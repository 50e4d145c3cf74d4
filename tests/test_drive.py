"""Normalised currents that drive neurons on a shortcut, in one walk through memory, against torch's layers."""

import copy

import pytest
import torch
from torch import Tensor, nn

from training.model.drive import Drive, activity
from training.model.lif import Lif, lif_loop


class LoopLif(nn.Module):
    """Neurons that ``activity`` does not know: it drives them layer by layer."""

    def forward(self, current: Tensor) -> Tensor:
        return lif_loop(current)[0]


def channels_last(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random maps (T, B, C, H, W) whose channels have other means and spreads."""
    t, b, c, h, w = shape
    spread = torch.linspace(0.5, 3, c, dtype=dtype)
    return (torch.randn(t, b, h, w, c, dtype=dtype) * spread + 3 * spread).movedim(-1, 2).requires_grad_()


def norm_of(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, dtype=torch.float64)
    nn.init.uniform_(norm.weight, 0.5, 2.0)
    nn.init.uniform_(norm.bias, -0.5, 0.5)
    assert norm.running_mean is not None
    norm.running_mean.uniform_(-1, 1)
    return norm


@pytest.mark.parametrize("has_stream", [True, False], ids=["shortcut", "no-shortcut"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4, 4), (1, 2, 1, 1, 1), (4, 7, 1100, 2, 1), (8, 40, 24, 5, 7)])
@pytest.mark.parametrize("used", ["spikes", "total", "both"])
def test_it_is_what_the_layers_do(
    shape: tuple[int, ...], training: bool, has_stream: bool, used: str, threads: int
) -> None:
    """Values, gradients and running statistics; fewer channels than lanes, and more; with one and with many runs."""
    torch.manual_seed(0)
    inputs = [channels_last(*shape) for _ in range(1 + has_stream)]
    fast = norm_of(shape[2]).train(training)
    slow = copy.deepcopy(fast)
    results = [activity(lif, Drive(inputs[0], norm, *inputs[1:])) for lif, norm in ((Lif(), fast), (LoopLif(), slow))]
    assert torch.equal(results[0][0], results[1][0])
    assert shape[0] == 1 or 0 < results[0][0].mean() < 1
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-9, atol=1e-10)
    outer = [torch.randn(shape, dtype=torch.float64) for _ in range(2)]
    chosen = [0, 1] if used == "both" else [["spikes", "total"].index(used)]
    gradients = [
        torch.autograd.grad([result[i] for i in chosen], [*inputs, norm.weight, norm.bias], [outer[i] for i in chosen])
        for result, norm in zip(results, (fast, slow), strict=True)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
    assert all(each.any() for each in gradients[0]) or shape == (1, 2, 1, 1, 1)
    for (name, one), other in zip(fast.state_dict().items(), slow.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10, msg=name)


def test_single_precision_is_as_good_as_torchs() -> None:
    """On maps whose mean is a thousand times their spread."""
    torch.manual_seed(0)
    exact = (torch.randn(8, 10, 8, 8, 6, dtype=torch.float64) + 1000).movedim(-1, 2)
    norm = nn.BatchNorm2d(6)
    drive = Drive(exact.float(), norm)
    errors = [(total - (exact - 1000)).abs().max() for total in (activity(Lif(), drive)[1], drive.total())]
    assert errors[0] < 1.5 * errors[1]
