"""LIF neurons against a ten-line loop, and the fused form against Norse's cell."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.model.lif import DECAY, THRESHOLD, LifWithPotentials, lif, lif_loop


def by_hand(current: np.ndarray) -> np.ndarray:
    v = np.zeros_like(current[0])
    spikes = []
    for i in current:
        v = v + DECAY * (i - v)
        s = v > THRESHOLD
        v = np.where(s, 0.0, v)
        spikes.append(s)
    return np.array(spikes, float)


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_norse_cell_is_the_equation(seed: int, steps: int) -> None:
    current = 2 * np.random.default_rng(seed).standard_normal((steps, 50))
    spikes, potentials = lif_loop(torch.from_numpy(current))
    assert np.array_equal(spikes.numpy(), by_hand(current))
    assert np.array_equal(potentials.numpy() > THRESHOLD, spikes.numpy() > 0)


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_fused_equals_norse_in_values_and_gradients(seed: int, steps: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    current = (2 * torch.randn(steps, 40, dtype=torch.float64, generator=generator)).requires_grad_()
    weight = torch.randn(steps, 40, dtype=torch.float64, generator=generator)
    (plain,) = torch.autograd.grad((lif_loop(current)[0] * weight).sum(), current)
    (fused,) = torch.autograd.grad((lif(current) * weight).sum(), current)
    assert torch.equal(lif(current), lif_loop(current)[0])
    torch.testing.assert_close(fused, plain, rtol=1e-12, atol=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_fused_potentials_equal_norses_in_values_and_gradients(seed: int, steps: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    current = (2 * torch.randn(steps, 40, dtype=torch.float64, generator=generator)).requires_grad_()
    weights = torch.randn(2, steps, 40, dtype=torch.float64, generator=generator)
    both = [cell(current) for cell in (lif_loop, LifWithPotentials())]
    plain, fused = (torch.autograd.grad((torch.stack(each) * weights).sum(), current)[0] for each in both)
    torch.testing.assert_close(both[1], both[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(fused, plain, rtol=1e-12, atol=1e-12)


def test_threshold_is_strict() -> None:
    at = torch.full((1, 1), THRESHOLD / DECAY)
    assert lif(at).item() == 0
    assert lif(torch.nextafter(at, at + 1)).item() == 1
