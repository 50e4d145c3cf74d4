"""What a training for cost adds to each step: the penalty that holds a budget, pruning, and a teacher's answers."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikinghash.errors import ConfigError
from training.codes import batches
from training.config import Config
from training.data.frames import Dataset
from training.data.splits import Split
from training.model.encoder import HashOutput, Spikinghash, Stage
from training.sparsity.controller import BudgetController
from training.sparsity.distillation import Teacher
from training.sparsity.operations import Counted, OperationMeter, conv_fan_out
from training.sparsity.pruning import Pruning

SAMPLE = 400
"""Training recordings whose frames tell what the input alone costs."""


class Economy:
    """The parts that ``config.sparsity`` asks for; with none of them, every method does nothing."""

    def __init__(self, config: Config, model: Spikinghash, dataset: Dataset, sets: Split, steps: int) -> None:
        settings, device = config.sparsity, model.head.linear.weight.device
        self._settings, self._operations = settings, list[float]()
        self._answers: Tensor | None = None
        self._meter = self._controller = self._pruning = self._teacher = None
        if settings.operations is not None:
            require_affordable(settings.operations, model, dataset.frames[sets.training[:SAMPLE]])
            self._meter = OperationMeter(model, settings.counted)
            self._controller = BudgetController(settings.operations, steps, settings.ramp)
        if settings.prunes:
            self._pruning = Pruning(model, settings.prune, settings.prune_channels, steps)
        if settings.teacher is not None:
            self._teacher = Teacher(settings.teacher, config, settings.answers, device)

    def before_step(self, recordings: NDArray[np.int64]) -> None:
        """To be called before a step on ``recordings`` (indices into the data set)."""
        if self._pruning is not None:
            self._pruning.before_step()
        if self._teacher is not None:
            self._answers = self._teacher.answers(recordings)

    def loss(self, output: HashOutput) -> Tensor:
        """What is added to the loss of the batch, for what the network answered to it."""
        total = output.spikes.new_zeros(())
        if self._teacher is not None and self._answers is not None:
            total = total + self._settings.distil_weight * self._teacher.distance(output, self._answers)
        if self._meter is not None and self._controller is not None:
            operations = self._meter.per_recording()
            self._operations.append(operations.item())
            target, weight = self._controller.target, self._controller.weight(operations.item())
            total = total + (weight / target * operations).to(total.dtype)
        return total

    @property
    def spent(self) -> str:
        """Operations of a recording in the last batch, for a line of progress."""
        return f"  operations {self._operations[-1] / 1e6:.2f} M" if self._operations else ""

    def end_epoch(self) -> dict[str, float]:
        """Set to zero what is pruned, and return the epoch's mean operations of a recording."""
        taken, self._operations = self._operations, []
        if self._pruning is not None:
            self._pruning.apply()
        return {"operations": float(np.mean(taken))} if taken else {}

    def measure(self, model: Spikinghash, dataset: Dataset, recordings: NDArray[np.int64]) -> dict[str, float]:
        """Mean operations of ``recordings`` in evaluation mode, if there is a budget."""
        if self._meter is None:
            return {}
        return {"validation_operations": mean_operations(model, dataset, recordings, self._settings.counted)}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        parts = {"controller": self._controller, "pruning": self._pruning}
        return {name: part.state_dict() for name, part in parts.items() if part is not None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for name, part in {"controller": self._controller, "pruning": self._pruning}.items():
            if part is not None:
                part.load_state_dict(state[name])


def require_affordable(budget: float, model: Spikinghash, frames: NDArray[np.uint8]) -> None:
    """Refuse a budget that the spikes of recordings ``frames`` (B, T, 2, H, W) alone use up in the first map.

    Raises:
        ConfigError: it is too small.
    """
    stem = model.stages[0]
    assert isinstance(stem, Stage)
    fan_out = conv_fan_out(stem.down.conv, frames.shape[-2:]).cpu().numpy()
    least = float((frames.sum((0, 1)) * fan_out).sum() / len(frames))
    if budget <= least:
        raise ConfigError(
            f"sparsity.operations is {budget:,.0f}, but the spikes of the input alone cause {least:,.0f} in the first "
            "convolution: allow more, or use fewer channels in stage 1"
        )


@torch.no_grad()
def mean_operations(model: Spikinghash, dataset: Dataset, recordings: NDArray[np.int64], counted: Counted) -> float:
    """Mean synaptic operations of ``recordings`` in evaluation mode."""
    meter, total = OperationMeter(model.eval(), counted), 0.0
    device = model.head.linear.weight.device
    for batch in batches(recordings, 100):
        model(torch.from_numpy(dataset.frames[batch]).to(device))
        total += meter.per_recording().item() * len(batch)
    meter.close()
    return total / len(recordings)
