"""Amounts with a band, per recording: arrays of shape (3, samples), rows low, nominal, high."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardware_profiles.prices import Band

Amount = NDArray[np.float64]
"""(3, samples)."""


def exact(values: ArrayLike) -> Amount:
    """An amount without a band. ``values``: a scalar or (samples,)."""
    return np.broadcast_to(np.atleast_1d(np.asarray(values, dtype=np.float64)), (3, np.size(values))).copy()


def between(low: ArrayLike, nominal: ArrayLike, high: ArrayLike) -> Amount:
    """An amount with a band. Each argument: a scalar or (samples,)."""
    rows = np.broadcast_arrays(*(np.atleast_1d(np.asarray(row, dtype=np.float64)) for row in (low, nominal, high)))
    return np.stack(rows)


def priced(amount: Amount, corners: tuple[float, float, float]) -> Amount:
    """``amount`` times a price, corner by corner: the widest band, since all prices move together."""
    product: Amount = amount * np.asarray(corners)[:, None]
    return product


def time_at(rate: tuple[float, float, float], amount: Amount) -> Amount:
    """Seconds that ``amount`` takes at a rate, corner by corner: the highest rate takes the least time."""
    return np.asarray(amount / np.asarray(rate[::-1])[:, None])


def mean(amount: Amount) -> Band:
    """Mean over the recordings."""
    low, nominal, high = amount.mean(axis=1)
    return Band(float(low), float(nominal), float(high))
