"""Augmentations: every one held against a loop or a property, and seeded."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates, rotate

from training.augment import augment, random_delay, random_drop, random_flip, random_shift, random_warp, smooth_field
from training.config import TrainConfig


@dataclass(frozen=True)
class Settings:
    """All that ``augment`` reads."""

    max_shift: int = 0
    flip: bool = False
    drop: float = 0.0
    time_jitter: int = 0
    rotate: float = 0.0
    zoom: float = 0.0
    elastic: float = 0.0


ALL = Settings(max_shift=3, flip=True, drop=0.2, time_jitter=2, rotate=15, zoom=0.2, elastic=1.0)

shapes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.just(2), st.integers(3, 9), st.integers(3, 9))


def binary(shape: tuple[int, ...], seed: int, kind: torch.dtype = torch.uint8) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.3).to(kind)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moved(frame: np.ndarray, down: int, right: int) -> np.ndarray:
    """A frame (..., H, W) shifted by loops; zeros move in."""
    found = np.zeros_like(frame)
    height, width = frame.shape[-2:]
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                found[..., row, column] = frame[..., row - down, column - right]
    return found


@settings(max_examples=30)
@given(shapes, st.integers(0, 99), st.sampled_from([torch.uint8, torch.float32]))
def test_augmented_frames_are_binary_of_the_same_shape_and_follow_the_seed(
    shape: tuple[int, ...], seed: int, kind: torch.dtype
) -> None:
    frames = binary(shape, seed, kind)
    before = frames.clone()
    found = augment(frames, ALL, seeded(seed))
    assert found.shape == frames.shape
    assert found.dtype == kind
    assert bool(((found == 0) | (found == 1)).all())
    assert torch.equal(frames, before)
    assert torch.equal(found, augment(frames, ALL, seeded(seed)))


def test_another_seed_changes_them_otherwise() -> None:
    frames = binary((8, 4, 2, 16, 16), 0)
    assert not torch.equal(augment(frames, ALL, seeded(1)), augment(frames, ALL, seeded(2)))


def test_settings_of_0_change_nothing_and_draw_nothing() -> None:
    frames, generator = binary((2, 4, 2, 8, 8), 0), seeded(5)
    state = generator.get_state()
    assert torch.equal(augment(frames, Settings(), generator), frames)
    assert torch.equal(generator.get_state(), state)


def test_a_shift_alone_takes_the_draws_that_it_always_took() -> None:
    frames = binary((6, 3, 2, 12, 12), 0)
    assert torch.equal(augment(frames, Settings(max_shift=2), seeded(3)), random_shift(frames, 2, seeded(3)))


def test_a_training_config_has_all_settings() -> None:
    found = augment(binary((2, 4, 2, 8, 8), 0), TrainConfig(max_shift=1, drop=0.1, flip=True, rotate=5), seeded(0))
    assert found.shape == (2, 4, 2, 8, 8)


@settings(max_examples=20)
@given(shapes, st.integers(0, 99), st.integers(1, 4))
def test_a_shift_moves_all_steps_alike(shape: tuple[int, ...], seed: int, largest: int) -> None:
    frames = binary(shape, seed)
    found = random_shift(frames, largest, seeded(seed)).numpy()
    steps = range(-largest, largest + 1)
    for before, after in zip(frames.numpy(), found, strict=True):
        assert any(np.array_equal(moved(before, down, right), after) for down in steps for right in steps)


def test_every_shift_and_delay_comes_up() -> None:
    frames = torch.zeros(400, 5, 2, 5, 5)
    frames[:, 2, 0, 2, 2] = 1
    places = random_shift(frames, 1, seeded(0)).nonzero()[:, 3:]
    assert len(torch.unique(places, dim=0)) == 9
    steps = random_delay(frames, 2, seeded(0)).nonzero()[:, 1]
    assert torch.bincount(steps).min() > 40


@settings(max_examples=20)
@given(shapes, st.integers(0, 99), st.integers(1, 6))
def test_a_delay_moves_frames_in_time_and_empty_ones_in(shape: tuple[int, ...], seed: int, largest: int) -> None:
    frames = binary(shape, seed)
    found = random_delay(frames, largest, seeded(seed)).numpy()
    for before, after in zip(frames.numpy(), found, strict=True):
        candidates = []
        for delay in range(-largest, largest + 1):
            late = np.zeros_like(before)
            for step in range(len(before)):
                if 0 <= step - delay < len(before):
                    late[step] = before[step - delay]
            candidates.append(late)
        assert any(np.array_equal(late, after) for late in candidates)


def test_a_flip_mirrors_half_of_the_recordings_and_keeps_polarities() -> None:
    frames = binary((400, 2, 2, 4, 5), 0)
    found = random_flip(frames, seeded(0))
    mirrored = [
        np.array_equal(after, before[..., ::-1]) for before, after in zip(frames.numpy(), found.numpy(), strict=True)
    ]
    kept = [np.array_equal(after, before) for before, after in zip(frames.numpy(), found.numpy(), strict=True)]
    assert all(a or b for a, b in zip(mirrored, kept, strict=True))
    assert 150 < sum(mirrored) < 250


def test_dropping_clears_its_share_and_marks_nothing() -> None:
    frames = binary((20, 8, 2, 32, 32), 0)
    found = random_drop(frames, 0.25, seeded(1))
    assert bool((found <= frames).all())
    assert found.sum().item() / frames.sum().item() == pytest.approx(0.75, abs=0.01)


def affine_by_loop(frame: np.ndarray, angle: float, scale: float) -> np.ndarray:
    """A frame (H, W) turned and scaled about its centre, pixel by pixel."""
    height, width = frame.shape
    found = np.zeros_like(frame)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    for row in range(height):
        for column in range(width):
            y, x = np.rint(turn @ (np.array([row, column]) - centre) + centre).astype(int)
            if 0 <= y < height and 0 <= x < width:
                found[row, column] = frame[y, x]
    return found


def test_turning_and_scaling_is_what_a_loop_does() -> None:
    frames = binary((5, 2, 2, 12, 15), 0)
    draws = 2 * torch.rand(2, 5, generator=seeded(7)) - 1
    found = random_warp(frames, 30, 0.3, 0, seeded(7)).numpy()
    for index, sample in enumerate(frames.numpy()):
        angle, scale = float(draws[0, index]) * np.pi / 6, 1 + 0.3 * float(draws[1, index])
        expected = np.array([[affine_by_loop(frame, angle, scale) for frame in step] for step in sample])
        assert np.mean(found[index] != expected) < 0.01  # rounding of single precision at half a pixel


def test_bending_is_what_scipy_makes_of_the_same_field() -> None:
    frames = binary((4, 2, 2, 17, 23), 3)
    generator = seeded(5)
    torch.rand(2, 4, generator=generator)  # angle and scale are drawn first
    field = 1.5 * smooth_field(4, 17, 23, generator).numpy()
    found = random_warp(frames, 0, 0, 1.5, seeded(5)).numpy()
    rows, columns = np.mgrid[:17, :23]
    for index, sample in enumerate(frames.numpy()):
        places = np.rint(np.stack([rows + field[0, index], columns + field[1, index]]))
        expected = [[map_coordinates(frame, places, order=0) for frame in step] for step in sample]
        assert np.mean(found[index] != expected) < 0.01  # rounding at half a pixel
    assert np.mean(found != frames.numpy()) > 0.1


def test_the_field_that_bends_is_smooth_and_of_unit_deviation_at_its_points() -> None:
    field = smooth_field(500, 33, 33, seeded(2))
    at_points = field[..., ::8, ::8]
    assert abs(float(at_points.std()) - 1) < 0.03
    assert abs(float(field.mean())) < 0.03
    assert float((field[..., 1:] - field[..., :-1]).abs().max()) < 1.0


def test_a_turn_is_that_of_scipy() -> None:
    frames = torch.zeros(1, 1, 1, 33, 33)
    frames[0, 0, 0, 12:15, 4:29] = 1  # a bar
    found = random_warp(frames, 40, 0, 0, seeded(1))[0, 0, 0].numpy()
    angle = float(2 * torch.rand(2, 1, generator=seeded(1))[0, 0] - 1) * 40
    other = rotate(frames[0, 0, 0].numpy(), -angle, reshape=False, order=0)
    assert np.mean(found != other) < 0.01
    assert np.mean(found != frames[0, 0, 0].numpy()) > 0.02
