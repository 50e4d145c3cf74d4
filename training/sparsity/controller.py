"""The weight of the penalty on synaptic operations: a controller holds a budget with it."""

import math

_SMOOTHING = 0.8
"""Share of the former mean in the mean of operations, a batch's own number being noisy."""
_INTEGRAL, _PROPORTIONAL = 0.02, 2.0
_LARGEST_ERROR = 0.5
"""Of the logarithm of the ratio of operations and budget: beyond it the controller acts as if it were that large."""
_FIRST, _LEAST, _MOST = 0.3, 0.02, 30.0
"""Of the weight without its proportional part. The least one is hardly felt, and the way back from it is short."""


class BudgetController:
    """A proportional-integral controller on the logarithm of the weight lambda of ``lambda * operations / target``.

    With e = log(mean operations / target), each step does ``log w <- log w + 0.02 e`` and answers
    ``lambda = w exp(2 e)``: the integral part finds the weight at which the network spends what it may, the
    proportional part damps the way there, which takes the network some ten steps to follow. The target falls from what
    the network spends at first to ``budget``, at a constant rate, in the first ``ramp`` of all steps.
    """

    def __init__(self, budget: float, steps: int, ramp: float) -> None:
        self.budget, self._ramp = budget, max(1.0, ramp * steps)
        self._step, self._first, self._mean, self._log_weight = 0, 0.0, 0.0, math.log(_FIRST)

    @property
    def target(self) -> float:
        """Operations that the next step may spend."""
        left = max(0.0, 1.0 - self._step / self._ramp)
        return self.budget * max(1.0, self._first / self.budget) ** left

    def weight(self, operations: float) -> float:
        """Lambda for a step that spends ``operations`` per recording; called once in each step."""
        if not self._step:
            self._first = self._mean = operations
        self._mean += (1 - _SMOOTHING) * (operations - self._mean)
        error = math.log(max(self._mean, 1.0) / self.target)
        error = min(max(error, -_LARGEST_ERROR), _LARGEST_ERROR)
        moved = self._log_weight + _INTEGRAL * error
        self._log_weight = min(max(moved, math.log(_LEAST)), math.log(_MOST))
        self._step += 1
        return math.exp(self._log_weight + _PROPORTIONAL * error)

    def state_dict(self) -> dict[str, float]:
        """What a resumed training needs."""
        return {"step": self._step, "first": self._first, "mean": self._mean, "log_weight": self._log_weight}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from there."""
        self._step, self._first = int(state["step"]), state["first"]
        self._mean, self._log_weight = state["mean"], state["log_weight"]
