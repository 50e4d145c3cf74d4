"""A trained encoder as a spiking graph, operation by operation, nothing folded yet."""

import numpy as np
import torch
from torch import Tensor, nn

from export.encoder.graph import Graph
from export.encoder.node import Array, Shape
from export.encoder.operations import Attention, Conv, Counter, Dense, Input, Lif, Norm, Output, WaveMixer
from spikinghash.errors import GraphError
from training.model.encoder import (
    INPUT_CHANNELS,
    AttentionBranch,
    Block,
    ConvBranch,
    HashLayer,
    Spikinghash,
    Stage,
    WaveBranch,
)
from training.model.layers import ConvNorm
from training.model.lif import DECAY, THRESHOLD
from training.model.mlp import Mlp

LIF_THRESHOLD = THRESHOLD / DECAY
"""Threshold in the graph's form of the LIF, ``v <- v/2 + a``: Norse's input arrives halved, the graph's does not."""


def build_graph(model: Spikinghash) -> Graph:
    """The graph of ``model`` with batch normalisation as nodes of its own."""
    config = model.config
    if config.head != "hash":
        raise GraphError(f'encoder.head is {config.head}: only hash codes are exported: train with head = "hash"')
    graph = Graph(config.time_steps)
    stream = [graph.add("input", Input((INPUT_CHANNELS, config.size, config.size)))]
    for index, stage in enumerate(model.stages):
        assert isinstance(stage, Stage)
        stream = _add_stage(graph, stage, f"stage{index + 1}", stream)
    _add_head(graph, model.head, config.votes, stream)
    return graph


def _add_stage(graph: Graph, stage: Stage, name: str, stream: list[str]) -> list[str]:
    if stage.lif is not None:
        stream = [_add_lif(graph, f"{name}_down_lif", stream)]
    (source,) = stream
    stream = [_add_conv_norm(graph, stage.down, f"{name}_down", source)]
    for index, block in enumerate(stage.blocks):
        assert isinstance(block, Block)
        prefix = f"{name}_block{index}"
        stream = [*stream, _add_mixer(graph, block.mixer, f"{prefix}_mixer", stream)]
        stream = [*stream, _add_mlp(graph, block.mlp, f"{prefix}_mlp", stream)]
    return stream


def _add_lif(graph: Graph, name: str, stream: list[str]) -> str:
    return graph.add(name, Lif(graph.nodes[stream[0]].shape, LIF_THRESHOLD), *stream)


def _add_conv_norm(graph: Graph, layer: ConvNorm, name: str, source: str) -> str:
    conv = layer.conv
    stride, padding = int(conv.stride[0]), int(conv.padding[0])
    node = Conv(graph.nodes[source].shape, _ungrouped(conv), stride=stride, padding=padding)
    return _add_norm(graph, layer.norm, name, graph.add(name, node, source))


def _add_norm(graph: Graph, norm: nn.BatchNorm1d | nn.BatchNorm2d, name: str, source: str) -> str:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
    shift = _array(norm.bias) - scale * _array(norm.running_mean)
    return graph.add(f"{name}_norm", Norm(graph.nodes[source].shape, scale, shift), source)


def _add_mixer(graph: Graph, branch: nn.Module, name: str, stream: list[str]) -> str:
    source = _add_lif(graph, f"{name}_lif", stream)
    if isinstance(branch, WaveBranch):
        kernel = _array(branch.mixer.kernel())
        mixer = graph.add(name, WaveMixer(graph.nodes[source].shape, branch.mixer.levels, kernel), source)
        return _add_norm(graph, branch.norm.norm, name, mixer)
    if isinstance(branch, ConvBranch):
        return _add_conv_norm(graph, branch.mixer, name, source)
    assert isinstance(branch, AttentionBranch)
    attention = branch.mixer
    shape: Shape = graph.nodes[source].shape
    qkv = _add_lif(graph, f"{name}_qkv_lif", [_add_conv_norm(graph, attention.qkv, f"{name}_qkv", source)])
    product = graph.add(name, Attention(shape, attention.heads, float(attention.scale.detach())), qkv)
    return _add_conv_norm(
        graph, attention.projection, f"{name}_projection", _add_lif(graph, f"{name}_attention_lif", [product])
    )


def _add_mlp(graph: Graph, mlp: Mlp, name: str, stream: list[str]) -> str:
    expand = _add_conv_norm(graph, mlp.expand, f"{name}_expand", _add_lif(graph, f"{name}_lif", stream))
    return _add_conv_norm(graph, mlp.contract, f"{name}_contract", _add_lif(graph, f"{name}_hidden_lif", [expand]))


def _add_head(graph: Graph, head: HashLayer, votes: int, stream: list[str]) -> None:
    spikes = _add_lif(graph, "head_lif", stream)
    channels, height, width = graph.nodes[spikes].shape
    pool = np.eye(channels)[:, None, None, :, None, None] * np.full((1, 1, 1, 1, height, width), 1 / (height * width))
    pooled = graph.add("head_pool", Dense(pool), spikes)
    weight = _array(head.linear.weight)[:, :, None, None]
    linear = graph.add("head_linear", Conv((channels, 1, 1), weight), pooled)
    code = _add_lif(graph, "hash_lif", [_add_norm(graph, head.norm, "head_linear", linear)])
    bits = weight.shape[0]
    count = graph.add("vote_count", Conv((bits, 1, 1), np.eye(bits)[:, :, None, None]), code)
    graph.add("output", Output((bits, 1, 1)), graph.add("vote", Counter((bits, 1, 1), votes), count))


def _ungrouped(conv: nn.Conv2d) -> Array:
    """The weight of ``conv``, zero between channels of different groups: (out, in, h, w)."""
    weight = _array(conv.weight)
    out, per_group = weight.shape[0] // conv.groups, weight.shape[1]
    result = np.zeros((weight.shape[0], conv.in_channels, *weight.shape[2:]))
    for group in range(conv.groups):
        rows, columns = slice(group * out, (group + 1) * out), slice(group * per_group, (group + 1) * per_group)
        result[rows, columns] = weight[rows]
    return result


def _array(tensor: Tensor | nn.Parameter) -> Array:
    return tensor.detach().to(torch.float64).cpu().numpy()
