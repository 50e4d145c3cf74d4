"""Batch normalisation, which is folded before anything else happens."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from export.encoder.graph import Graph
from export.encoder.node import Array, Node, Shape


@dataclass(frozen=True)
class Norm(Node):
    """Batch normalisation with its running statistics: ``scale * a + shift`` per channel."""

    shape: Shape
    scale: Array
    shift: Array


def add_norm(graph: Graph, norm: nn.BatchNorm1d | nn.BatchNorm2d, name: str, source: str) -> str:
    """Add a trained normalisation behind ``source``."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = array(norm.weight) / np.sqrt(array(norm.running_var) + norm.eps)
    shift = array(norm.bias) - scale * array(norm.running_mean)
    return graph.add(f"{name}_norm", Norm(graph.nodes[source].shape, scale, shift), source)


def array(tensor: Tensor | nn.Parameter) -> Array:
    """A tensor of a trained network in float64."""
    return tensor.detach().to(torch.float64).cpu().numpy()
