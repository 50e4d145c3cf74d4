"""The MLP in chunks against the layers that it is made of."""

import copy

import pytest
import torch

from training.model.lif import lif_loop
from training.model.mlp import Mlp


def by_layers(module: Mlp, stream: torch.Tensor) -> torch.Tensor:
    """Layer after layer, as the class says."""
    hidden, _ = lif_loop(module.expand(lif_loop(stream)[0]))
    current: torch.Tensor = module.contract(hidden)
    return current


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pixels", [(1, 1), (5, 2), (17, 23)], ids=["one", "a chunk", "several chunks"])
def test_in_chunks_is_layer_by_layer(threads: int, training: bool, pixels: tuple[int, int]) -> None:
    """Values, gradients of the stream and of every parameter, and running statistics."""
    torch.manual_seed(0)
    fast = Mlp(6, 3).double()
    for norm in (fast.expand.norm, fast.contract.norm):
        torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
        torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.running_var.uniform_(0.5, 2.0)
    slow = copy.deepcopy(fast)
    fast.train(training)
    slow.train(training)
    stream = torch.randn(4, 3, 6, *pixels, dtype=torch.float64, requires_grad=True)
    results = fast(stream), by_layers(slow, stream)
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-11)
    outer = torch.randn_like(results[0])
    gradients = [
        torch.autograd.grad(result, [stream, *module.parameters()], outer)
        for result, module in zip(results, (fast, slow), strict=True)
    ]
    for one, other in zip(*gradients, strict=True):
        assert one.any()
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
    for (name, one), other in zip(fast.state_dict().items(), slow.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11, msg=name)
