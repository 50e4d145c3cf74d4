"""NIR's Delay in whole time steps."""

import nir
import numpy as np
import numpy.typing as npt


def delay_steps(node: nir.Delay, dt: float) -> npt.NDArray[np.int64]:
    """``round(delay / dt)`` of each neuron, (neurons,); ``dt`` in seconds.

    Raises:
        ValueError: a delay is negative or not finite.
    """
    delay = np.asarray(node.delay, np.float64).ravel()
    if not np.all(np.isfinite(delay)):
        raise ValueError("a delay is not finite")
    if delay.min(initial=0) < 0:
        raise ValueError(f"delay {delay.min():g} s is negative")
    return np.round(delay / dt).astype(np.int64)
