"""Batch normalisation with channels last against torch's own."""

import copy

import pytest
import torch
from torch import Tensor, nn

from training.model.norm import batch_norm


def channels_last(*shape: int, dtype: torch.dtype) -> Tensor:
    """Random maps (T, B, C, H, W) whose channels have other means and spreads."""
    t, b, c, h, w = shape
    spread = torch.arange(1, c + 1, dtype=dtype)
    return (torch.randn(t, b, h, w, c, dtype=dtype) * spread + 3 * spread).movedim(-1, 2)


def norm_of(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, dtype=torch.float64)
    nn.init.uniform_(norm.weight, 0.5, 2.0)
    nn.init.uniform_(norm.bias, -0.5, 0.5)
    assert norm.running_mean is not None
    norm.running_mean.uniform_(-1, 1)
    return norm


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4, 4), (1, 2, 1, 1, 1), (4, 7, 200, 2, 3), (8, 40, 24, 5, 7)])
def test_it_is_torchs_batch_normalisation(shape: tuple[int, ...], training: bool, threads: int) -> None:
    """Values, gradients and running statistics, of fewer channels than lanes and of more, of one run and of several."""
    torch.manual_seed(0)
    maps = channels_last(*shape, dtype=torch.float64).requires_grad_()
    fast = norm_of(shape[2]).train(training)
    slow = copy.deepcopy(fast)
    results = batch_norm(maps, fast), slow(maps.flatten(0, 1)).unflatten(0, shape[:2])
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-10)
    outer = torch.randn(shape, dtype=torch.float64)
    gradients = [
        torch.autograd.grad(result, [maps, norm.weight, norm.bias], outer)
        for result, norm in zip(results, (fast, slow), strict=True)
    ]
    for one, other in zip(*gradients, strict=True):
        assert one.any()
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)
    for (name, one), other in zip(fast.state_dict().items(), slow.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10, msg=name)


def test_single_precision_is_as_good_as_torchs() -> None:
    """On maps whose mean is a thousand times their spread."""
    torch.manual_seed(0)
    exact = (torch.randn(8, 10, 8, 8, 6, dtype=torch.float64) + 1000).movedim(-1, 2)
    expected = (exact - 1000).flatten(0, 1)
    norm = nn.BatchNorm2d(6)
    errors = [
        (result.detach().flatten(0, 1) - expected).abs().max()
        for result in (
            batch_norm(exact.float(), norm),
            norm(exact.float().flatten(0, 1)).unflatten(0, (8, 10)),
        )
    ]
    assert errors[0] < 1.5 * errors[1]
