"""The wavelet against a dense Haar matrix built from its definition, and the block form against ptwt's transforms."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.config import Wavelet
from training.model.wave_mixer import WaveMixer, from_blocks, subband_projections, to_blocks


def haar_rows(levels: int) -> dict[str, np.ndarray]:
    """One-dimensional orthonormal Haar basis on 2^L points: rows by name, ``a`` and ``d1`` (finest) to ``dL``."""
    size = 2**levels
    rows = {"a": [np.full(size, size**-0.5)]}
    for level in range(1, levels + 1):
        width = 2**level
        rows[f"d{level}"] = []
        for start in range(0, size, width):
            row = np.zeros(size)
            row[start : start + width // 2], row[start + width // 2 : start + width] = width**-0.5, -(width**-0.5)
            rows[f"d{level}"].append(row)
    return {name: np.array(row) for name, row in rows.items()}


def averages(levels: int, level: int) -> np.ndarray:
    """Orthonormal averages over 2^level points, the approximation after ``level`` levels."""
    size, width = 2**levels, 2**level
    return np.repeat(np.eye(size // width), width, axis=1) * width**-0.5


def dense_projections(levels: int) -> list[np.ndarray]:
    """P_b by Kronecker products of the one-dimensional bases: coarse to fine, details in the order of a < d."""
    approximation = averages(levels, levels)
    bands = [np.kron(np.kron(approximation, approximation), approximation)]
    for level in range(levels, 0, -1):
        choice = {"a": averages(levels, level), "d": haar_rows(levels)[f"d{level}"]}
        for axes in itertools.product("ad", repeat=3):
            if axes != ("a", "a", "a"):
                bands.append(np.kron(np.kron(choice[axes[0]], choice[axes[1]]), choice[axes[2]]))
    return [band.T @ band for band in bands]


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_projections_are_the_dense_haar_matrix(levels: int) -> None:
    projections = subband_projections(levels).numpy()
    expected = dense_projections(levels)
    assert len(projections) == len(expected) == 7 * levels + 1
    # ptwt names the details by axis; the set is what matters, each one once.
    for band in projections:
        distances = [np.abs(band - other).max() for other in expected]
        assert min(distances) < 1e-12
        expected.pop(int(np.argmin(distances)))


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_projections_split_the_identity(levels: int) -> None:
    projections = subband_projections(levels).numpy()
    assert np.array_equal(projections.sum(0), np.eye(8**levels))
    assert np.array_equal(projections * 8**levels, np.round(projections * 8**levels))
    for one, other in itertools.combinations(projections, 2):
        assert not (one @ other).any()


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_block_form_equals_transform_fuse_inverse(levels: int) -> None:
    torch.manual_seed(levels)
    mixer = WaveMixer(8, levels, channels_per_group=4).double()
    mixer.projections = mixer.projections.double()
    spikes = (torch.rand(8, 2, 8, 8, 8) < 0.3).double()
    torch.testing.assert_close(mixer(spikes), mixer.forward_transform(spikes), rtol=0, atol=1e-12)


def test_gradients_equal_those_through_ptwt() -> None:
    torch.manual_seed(0)
    mixer = WaveMixer(4, 2, channels_per_group=2).double()
    spikes = torch.rand(4, 1, 4, 8, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 1, 4, 8, 4, dtype=torch.float64)
    inputs = (spikes, mixer.fusion)
    fused = torch.autograd.grad((mixer(spikes) * weight).sum(), inputs)
    plain = torch.autograd.grad((mixer.forward_transform(spikes) * weight).sum(), inputs)
    for one, other in zip(fused, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_equal_fusions_leave_the_signal_alone() -> None:
    mixer = WaveMixer(4, 2, channels_per_group=4)
    mixer.fusion.data = torch.eye(4).expand(15, 1, 4, 4).clone()
    spikes = (torch.rand(8, 3, 4, 4, 8) < 0.5).float()
    torch.testing.assert_close(mixer(spikes), spikes, rtol=0, atol=1e-6)


def test_blocks_and_back() -> None:
    signal = torch.randn(4, 2, 6, 8, 4)
    assert torch.equal(from_blocks(to_blocks(signal, 2, 3), signal.shape, 2), signal)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize(("wavelet", "axes"), [("time", "t"), ("space", "hw")])
def test_partial_transforms_are_the_dense_haar_matrix_of_their_axes(wavelet: str, axes: str, levels: int) -> None:
    """Along the other axes the matrix is the identity."""
    expected = []
    approximation = averages(levels, levels)
    for level in range(levels, 0, -1):
        choice = {"a": averages(levels, level), "d": haar_rows(levels)[f"d{level}"]}
        for kinds in itertools.product("ad", repeat=len(axes)):
            if "d" in kinds:
                of_axis = dict(zip(axes, kinds, strict=True))
                factors = [choice[of_axis[axis]] if axis in axes else np.eye(2**levels) for axis in "thw"]
                expected.append(np.kron(np.kron(factors[0], factors[1]), factors[2]))
    factors = [approximation if axis in axes else np.eye(2**levels) for axis in "thw"]
    expected.append(np.kron(np.kron(factors[0], factors[1]), factors[2]))
    actual = subband_projections(levels, wavelet).numpy()
    assert len(actual) == len(expected)
    for matrix in expected:
        distances = np.abs(actual - matrix.T @ matrix).max(axis=(1, 2))
        assert distances.min() < 1e-12
        actual = np.delete(actual, distances.argmin(), axis=0)


@pytest.mark.parametrize(("wavelet", "mixes_time", "mixes_space"), [("time", True, False), ("space", False, True)])
def test_partial_transforms_mix_only_along_their_axes(wavelet: str, mixes_time: bool, mixes_space: bool) -> None:
    torch.manual_seed(0)
    mixer = WaveMixer(4, 1, channels_per_group=4, wavelet=wavelet)
    impulse = torch.zeros(4, 1, 4, 4, 4)
    impulse[0, 0, 1, 0, 0] = 1
    reached = mixer(impulse).detach()[:, 0].abs() > 1e-6
    assert bool(reached[1:].any()) is mixes_time
    assert bool(reached[0, :, 0, 1:].any()) is mixes_space
    assert not reached[2:].any()
    assert not reached[..., 2:].any()


@pytest.mark.parametrize("wavelet", ["space-time", "time"])
def test_a_window_run_backwards_comes_out_backwards(wavelet: str) -> None:
    """P_b is the same from either end, so the mixer alone cannot tell a recording from its reversal: neurons must."""
    torch.manual_seed(0)
    mixer = WaveMixer(4, 2, channels_per_group=2, wavelet=wavelet)
    spikes = (torch.rand(8, 2, 4, 4, 4) < 0.3).float()
    torch.testing.assert_close(mixer(spikes.flip(0)), mixer(spikes).flip(0), rtol=0, atol=1e-5)


WAVELETS: tuple[Wavelet, ...] = ("space-time", "time", "space")


def double_mixer(channels: int, levels: int, channels_per_group: int, wavelet: Wavelet = "space-time") -> WaveMixer:
    torch.manual_seed(levels)
    mixer = WaveMixer(channels, levels, channels_per_group, wavelet).double()
    mixer.projections = mixer.projections.double()
    return mixer


def values_and_gradients(mixer: WaveMixer, spikes: Tensor, compiled: bool) -> tuple[Tensor, ...]:
    """By the compiled route or as a matrix product; the outer gradient is the same in every call."""
    result = mixer(spikes) if compiled else mixer.forward_blocks(spikes)
    outer = torch.randn(spikes.shape, dtype=spikes.dtype, generator=torch.Generator().manual_seed(1))
    return result.detach(), *torch.autograd.grad(result, (spikes, mixer.fusion), outer)


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_the_compiled_route_equals_the_matrix(wavelet: Wavelet, levels: int, threads: int) -> None:
    mixer = double_mixer(6, levels, 3, wavelet)
    spikes = torch.randn(8, 3, 6, 8, 16, dtype=torch.float64).requires_grad_()
    routes = (values_and_gradients(mixer, spikes, compiled) for compiled in (True, False))
    for compiled, matrix in zip(*routes, strict=True):
        torch.testing.assert_close(compiled, matrix, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize(("channels", "channels_per_group"), [(1, 1), (5, 1), (8, 4), (7, 7), (200, 2)])
def test_any_groups_and_any_number_of_blocks(channels: int, channels_per_group: int, batch: int, threads: int) -> None:
    """Fewer blocks than a batch of blocks or than threads, a part of a batch, more channels than lanes."""
    mixer = double_mixer(channels, 1, channels_per_group)
    spikes = torch.randn(2, batch, channels, 4, 2, dtype=torch.float64).requires_grad_()
    routes = (values_and_gradients(mixer, spikes, compiled) for compiled in (True, False))
    for compiled, matrix in zip(*routes, strict=True):
        torch.testing.assert_close(compiled, matrix, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_the_compiled_gradients_equal_those_through_ptwt(levels: int, threads: int) -> None:
    mixer = double_mixer(8, levels, 4)
    spikes = (torch.rand(4, 3, 8, 8, 8) < 0.3).double().requires_grad_()
    outer = torch.randn_like(spikes)
    compiled, plain = (
        torch.autograd.grad(route(spikes), (spikes, mixer.fusion), outer) for route in (mixer, mixer.forward_transform)
    )
    for one, other in zip(compiled, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_any_layout_in_memory() -> None:
    mixer = double_mixer(8, 1, 4)
    signal = torch.randn(1, 2, 8, 4, 4, dtype=torch.float64)
    expanded = signal.expand(4, -1, -1, -1, -1)
    expected = mixer.forward_blocks(expanded)
    channels_last = expanded.movedim(2, -1).contiguous().movedim(-1, 2)
    swapped = expanded.mT.contiguous().mT
    for each in (expanded, expanded.contiguous(), channels_last, swapped):
        result = mixer(each)
        torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-12)
        assert result.movedim(2, -1).is_contiguous()


@pytest.mark.parametrize("wavelet", WAVELETS)
def test_single_precision(wavelet: Wavelet, threads: int) -> None:
    mixer = double_mixer(24, 2, 4, wavelet)
    spikes = (torch.rand(8, 3, 24, 8, 8) < 0.3).float().requires_grad_()
    exact = values_and_gradients(mixer, spikes.detach().double().requires_grad_(), compiled=False)
    mixer.float()
    outer = torch.randn(spikes.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).float()
    result = mixer(spikes)
    for one, other in zip((result, *torch.autograd.grad(result, (spikes, mixer.fusion), outer)), exact, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


class ToQuarters(nn.Module):
    """Rounding to multiples of 1/4."""

    def forward(self, value: Tensor) -> Tensor:
        return torch.round(4 * value) / 4


def test_a_rounded_block_map_is_what_is_multiplied_with() -> None:
    mixer = double_mixer(4, 1, 4).float()
    mixer.rounding = ToQuarters()
    spikes = (torch.rand(4, 2, 4, 4, 4) < 0.5).float()
    blocks = to_blocks(spikes, 1, 1) @ mixer.kernel().mT
    assert torch.equal(mixer(spikes), from_blocks(blocks, spikes.shape, 1))  # sums of quarters are exact
    assert (mixer.kernel() * 4 % 1 == 0).all()


def test_signals_that_do_not_fit_are_told_so() -> None:
    mixer = WaveMixer(8, 2, channels_per_group=4)
    with pytest.raises(ValueError, match="signal of 16 channels: the fusion has 2 groups of 4"):
        mixer(torch.zeros(4, 1, 16, 4, 4))
    with pytest.raises(ValueError, match=r"signal of 4 x 6 x 4 .*: must be multiples of"):
        mixer(torch.zeros(4, 1, 8, 6, 4))
