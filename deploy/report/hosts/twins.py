"""The conventional networks of a report as ONNX models, in float32 and in ONNX Runtime's int8."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deploy.energy.ann_network import AnnNetwork
from deploy.energy.networks.baselines import ann_twin, resnet18
from export.onnx.twin import TwinForm, write_forms
from training.baselines.resnet import ResNet18
from training.baselines.twin import AnnTwin
from training.config import EncoderConfig

CALIBRATION = 16
"""Recordings from which the ranges of activations are taken."""


def written_twins(
    config: EncoderConfig, frames: NDArray[np.uint8], folder: Path
) -> Iterator[tuple[AnnNetwork, TwinForm, Path]]:
    """Each network as the report counts it, its numbers, and the file in ``folder`` that it was written to."""
    torch.manual_seed(0)
    for counted, network in _networks(config):
        for form, path in write_forms(network, frames, frames[:CALIBRATION], folder, counted.kind):
            yield counted, form, path


def _networks(config: EncoderConfig) -> Iterator[tuple[AnnNetwork, nn.Module]]:
    for steps in dict.fromkeys((1, config.time_steps)):
        yield ann_twin(config, steps), AnnTwin(config, steps)
    yield resnet18(config), ResNet18(config.time_steps, config.bits)
