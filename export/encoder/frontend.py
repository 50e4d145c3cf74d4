"""A trained encoder as a spiking graph, operation by operation, nothing folded yet."""

from collections.abc import Callable
from typing import Any

import numpy as np

from export.encoder.graph import Graph
from export.encoder.operations import Conv, Counter, Dense, Input, Output
from export.encoder.operations.attention import add_attention_branch
from export.encoder.operations.conv import add_conv
from export.encoder.operations.lif import add_lif
from export.encoder.operations.norm import add_norm, array
from export.encoder.operations.wave_mixer import add_wave_branch
from training.config import EncoderConfig
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
from training.model.mlp import Mlp

MIXERS: dict[type, Callable[[Graph, Any, str, str], str]] = {
    WaveBranch: add_wave_branch,
    ConvBranch: lambda graph, branch, name, source: add_conv(graph, branch.mixer, name, source),
    AttentionBranch: add_attention_branch,
}
"""How each trained mixer is added to a graph: from the graph, the mixer's branch, a name and the spikes it reads."""


def build_graph(model: Spikinghash) -> Graph:
    """The graph of ``model`` with batch normalisation as nodes of its own."""
    config = model.config
    graph = Graph(config.time_steps)
    stream = [graph.add("input", Input((INPUT_CHANNELS, config.size, config.size)))]
    for index, stage in enumerate(model.stages):
        assert isinstance(stage, Stage)
        stream = _add_stage(graph, stage, f"stage{index + 1}", stream)
    _add_head(graph, model.head, config, stream)
    return graph


def _add_stage(graph: Graph, stage: Stage, name: str, stream: list[str]) -> list[str]:
    graph.group = f"{name} down"
    if stage.lif is not None:
        stream = [add_lif(graph, f"{name}_down_lif", stream)]
    (source,) = stream
    stream = [add_conv(graph, stage.down, f"{name}_down", source)]
    for index, block in enumerate(stage.blocks):
        assert isinstance(block, Block)
        graph.group, mixer = f"{name} block{index} mixer", f"{name}_block{index}_mixer"
        spikes = add_lif(graph, f"{mixer}_lif", stream)
        stream = [*stream, MIXERS[type(block.mixer)](graph, block.mixer, mixer, spikes)]
        graph.group = f"{name} block{index} mlp"
        stream = [*stream, _add_mlp(graph, block.mlp, f"{name}_block{index}_mlp", stream)]
    return stream


def _add_mlp(graph: Graph, mlp: Mlp, name: str, stream: list[str]) -> str:
    expand = add_conv(graph, mlp.expand, f"{name}_expand", add_lif(graph, f"{name}_lif", stream))
    return add_conv(graph, mlp.contract, f"{name}_contract", add_lif(graph, f"{name}_hidden_lif", [expand]))


def _add_head(graph: Graph, head: HashLayer, config: EncoderConfig, stream: list[str]) -> None:
    graph.group = "head"
    spikes = add_lif(graph, "head_lif", stream)
    channels, height, width = graph.nodes[spikes].shape
    pool = np.eye(channels)[:, None, None, :, None, None] * np.full((1, 1, 1, 1, height, width), 1 / (height * width))
    pooled = graph.add("head_pool", Dense(pool), spikes)
    weight = array(head.linear.weight)[:, :, None, None]
    linear = graph.add("head_linear", Conv((channels, 1, 1), weight), pooled)
    last = add_norm(graph, head.norm, "head_linear", linear)
    bits = weight.shape[0]
    if config.head == "classes":
        graph.add("output", Output((bits, 1, 1), classes=True), add_lif(graph, "class_lif", [last]))
    else:
        code = add_lif(graph, "hash_lif", [last])
        count = graph.add("vote_count", Conv((bits, 1, 1), np.eye(bits)[:, :, None, None]), code)
        graph.add("output", Output((bits, 1, 1)), graph.add("vote", Counter((bits, 1, 1), config.votes), count))
    graph.group = ""
