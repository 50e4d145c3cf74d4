"""What ``export.inspect`` says about a file, against the file itself; its picture; attention as a marked subgraph."""

import io
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from export.encoder.network import build_network
from export.encoder.operations import attention
from export.nir.inspect import inspect_nir, inspect_onnx
from export.nir.interpreter import Interpreter
from export.nir.marked_attention import MARK, MarkedAttention, read_marked
from export.nir.metadata import Metadata, read_encoder
from export.nir.picture import caption, compact, draw, group_graph
from export.nir.read import read_graph
from export.nir.structure import Structure, describe_structure
from export.nir.to_nir import GraphSize, export_nir
from export.nir.trace import input_spikes, layer_spikes, output_codes, recorded_nodes
from export.onnx.to_onnx import export_onnx
from export.synaptic.counting import trace_counts
from spikinghash.errors import GraphError
from tests.networks import DEEP, SMALL, calibrated, random_frames
from training.config import EncoderConfig, load_config

Written = tuple[Path, Metadata, GraphSize, Structure]


@pytest.fixture(scope="module", params=["native", "portable"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    path = tmp_path_factory.mktemp("inspect") / f"{request.param}.nir"
    metadata, size = export_nir(build_network(calibrated(SMALL)), path, request.param)
    return path, metadata, size, describe_structure(read_graph(path), metadata, str(path))


def printed(path: Path, every_node: bool = False) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    if path.suffix == ".onnx":
        inspect_onnx(path, console)
    else:
        inspect_nir(path, path.with_suffix(".svg"), every_node, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def foreign(folder: Path) -> Path:
    """A recurrent graph of another origin: 2x4x4 -> convolution -> LIF <-> recurrent weights -> output."""
    generator = np.random.default_rng(0)
    values = {key: np.ones((3, 4, 4)) for key in ("tau", "r", "v_threshold")}
    values |= {key: np.zeros((3, 4, 4)) for key in ("v_leak", "v_reset")}
    nodes = {
        "input": nir.Input(np.array([2, 4, 4])),
        "layer1.conv": nir.Conv2d((4, 4), generator.normal(size=(3, 2, 3, 3)), 1, 1, 1, 1, np.zeros(3)),
        "layer1.lif": nir.LIF(**values),
        "layer1.back": nir.Conv2d((4, 4), generator.normal(size=(3, 3, 1, 1)), 1, 0, 1, 1, np.zeros(3)),
        "output": nir.Output(np.array([3, 4, 4])),
    }
    edges = [
        ("input", "layer1.conv"), ("layer1.conv", "layer1.lif"), ("layer1.lif", "layer1.back"),
        ("layer1.back", "layer1.lif"), ("layer1.lif", "output"),
    ]  # fmt: skip
    path = folder / "foreign.nir"
    nir.write(str(path), nir.NIRGraph(nodes, edges))
    return path


def test_sizes_are_those_that_the_export_counted(written: Written) -> None:
    _, _, size, structure = written
    assert (len(structure.nodes), structure.neurons, structure.synapses) == (size.nodes, size.neurons, size.synapses)
    assert sum(len(nodes) for nodes in structure.groups().values()) == size.nodes


def test_groups_are_the_blocks_of_the_network_in_the_order_of_the_flow(written: Written) -> None:
    blocks = [f"stage{stage} {part}" for stage in (1, 2, 3) for part in ("down", "block0 mixer", "block0 mlp")]
    structure = written[3]
    assert list(structure.groups()) == ["input", "valid line", *blocks, "head"]
    clocks = {node.name: node.group for node in structure.nodes.values() if "clock2_after" in node.name}
    assert set(clocks.values()) == {"stage2 block0 mixer"}


def test_layers_and_latencies_come_from_the_metadata(written: Written) -> None:
    _, metadata, _, structure = written
    for population in metadata.populations:
        for name in population.nodes:
            node = structure.nodes[name]
            assert (node.layer, node.latency) == (population.name, population.latency)
            assert node.neurons == np.prod(node.shape)


def test_tables_show_every_group_or_every_node(written: Written) -> None:
    path, metadata, size, structure = written
    text = printed(path)
    assert [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")] == [
        *structure.groups(), "total",
    ]  # fmt: skip
    totals = f"{size.nodes:,} nodes, {size.neurons:,} neurons, {size.synapses:,} synapses"
    assert totals in text
    assert f"dialect: {metadata.dialect}, integer numbers" in text
    assert "certificate: exact in float" in text
    rows = {line.split("│")[1].strip() for line in printed(path, every_node=True).splitlines() if line.startswith("│")}
    assert rows == set(structure.nodes)


def test_picture_shows_every_group_and_depends_on_the_graph_alone(written: Written, tmp_path: Path) -> None:
    structure = written[3]
    for name in ("a.svg", "b.svg"):
        draw(structure, "graph", tmp_path / name)
    content = (tmp_path / "a.svg").read_bytes()
    assert content == (tmp_path / "b.svg").read_bytes()
    root = ElementTree.fromstring(content)
    text = content.decode()
    assert "<dc:date>" not in text
    assert not re.search(r'href="(?!#)', text), "a picture that stands on its own refers to nothing outside"
    shown = {element.text for element in root.iter() if element.tag.endswith(("}text", "}tspan"))}
    assert {"stage1 block0 mixer", "stage3 block0 mlp", "stage2 down", "valid line", "head"} <= set(structure.groups())
    for group, nodes in structure.groups().items():
        assert set(caption(group, nodes).splitlines()) <= shown


def test_links_between_groups_carry_the_synapses_of_their_maps(written: Written) -> None:
    structure = written[3]
    graph = group_graph(structure)
    (contract,) = (node for name, node in structure.nodes.items() if "stage1_block0_mlp_contract" in name)
    assert graph.edges["stage1 block0 mlp", "stage2 down"]["synapses"] == contract.synapses
    assert not list(graph.successors("valid line"))


def test_groups_are_those_of_the_metadata(written: Written) -> None:
    _, metadata, _, structure = written
    assert {name: node.group for name, node in structure.nodes.items()} == metadata.groups
    (hidden,) = (layer for layer in metadata.populations if layer.name == "stage1_block0_mlp_hidden_lif")
    assert [metadata.groups[node] for node in hidden.nodes] == ["stage1 block0 mlp"]


def test_a_foreign_graph_with_a_cycle(tmp_path: Path) -> None:
    path = foreign(tmp_path)
    structure = describe_structure(read_graph(path), None, str(path))
    assert list(structure.groups()) == ["input", "layer1", "output"]
    # Per axis, 10 of the 3 * 4 taps of a padded 3x3 convolution lie inside a row of 4.
    assert structure.nodes["layer1.conv"].synapses == 3 * 2 * 10 * 10
    assert structure.nodes["layer1.back"].synapses == 3 * 3 * 16
    assert structure.neurons == 48
    text = printed(path)
    assert "metadata: none of this project" in text
    assert "layer1" in path.with_suffix(".svg").read_text()


def test_an_onnx_model_is_shown_by_its_operators(tmp_path: Path) -> None:
    path = tmp_path / "encoder.onnx"
    export_onnx(build_network(calibrated(SMALL)), path)
    text = printed(path)
    for expected in ("Conv", "Greater", "total", "opset ai.onnx 20", "dialect: onnx, integer numbers", "certificate:"):
        assert expected in text


@pytest.mark.parametrize("name", ["missing.nir", "broken.nir", "missing.onnx", "broken.onnx"])
def test_a_broken_file_is_one_line_and_exit_code_2(tmp_path: Path, name: str) -> None:
    if name.startswith("broken"):
        (tmp_path / name).write_text("nonsense")
    done = subprocess.run(
        [sys.executable, "-m", "export.inspect", str(tmp_path / name)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert name in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("*.svg"))


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (9_999, "9,999"), (10_000, "10k"), (999_600, "1M"), (1_234_567, "1.23M")]
)
def test_compact_counts(count: int, text: str) -> None:
    assert compact(count) == text


@settings(max_examples=25)
@given(heads=st.integers(1, 3), width=st.integers(1, 3), side=st.integers(1, 3), seed=st.integers(0, 99))
def test_counts_of_a_marked_attention_equal_its_equation(heads: int, width: int, side: int, seed: int) -> None:
    marked = MarkedAttention((heads * width, side, side), heads)
    spikes = np.random.default_rng(seed).integers(0, 2, (3 * heads * width * side**2, 2)).astype(float)
    q, k, v = spikes.reshape(3, heads, width, side**2, 2)
    expected = np.zeros((heads, width, side**2, 2))
    for head, b, i, j, a, sample in np.ndindex(heads, width, side**2, side**2, width, 2):
        expected[head, b, i, sample] += q[head, a, i, sample] * k[head, a, j, sample] * v[head, b, j, sample]
    assert np.array_equal(marked.counts(spikes), expected.reshape(-1, 2))


@pytest.mark.parametrize("config", [SMALL, DEEP], ids=["small", "deep"])
@pytest.mark.parametrize("numbers", ["integer", "float"])
def test_a_large_attention_is_marked_and_computes_the_same(
    tmp_path: Path, config: EncoderConfig, numbers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "LARGEST_GATES", 1)
    network = build_network(calibrated(config), numbers)  # type: ignore[arg-type]
    path = tmp_path / "encoder.nir"
    export_nir(network, path)
    graph, metadata = read_encoder(path)
    marked = {name: read_marked(name, node) for name, node in graph.nodes.items() if isinstance(node, nir.NIRGraph)}
    assert [found.heads for found in marked.values() if found] == [4]
    frames = random_frames(network.config, 6, seed=5)
    codes, spikes = network.executor().layers(frames)
    assert all(value.any() for value in spikes.values()), "every layer must spike for the comparison to mean anything"
    outputs, recorded = Interpreter(graph).run(input_spikes(frames, metadata), recorded_nodes(metadata))
    shown = layer_spikes(recorded, metadata)
    assert all(np.array_equal(shown[layer], value) for layer, value in spikes.items())
    assert np.array_equal(output_codes(outputs), codes)
    structure = describe_structure(graph, metadata, "")
    assert [node.group for node in structure.nodes.values() if node.attention] == [
        metadata.groups[name] for name in marked
    ]
    assert any(layer.kind == "attention" for layer in trace_counts(path, frames, 1e5).layers)
    with pytest.raises(GraphError, match=r"coincidence gates .* limit 1: .*, or use the native dialect"):
        export_nir(network, tmp_path / "portable.nir", "portable")


def test_the_mappings_of_a_marked_attention_are_compared(tmp_path: Path) -> None:
    """2 heads of 2 channels on 3 tokens: 2 * 2^2 * 3^2 gates."""
    marked = MarkedAttention((4, 1, 3), heads=2)
    nodes = {"x": nir.Input(np.array([12, 1, 3])), "att": marked.subgraph(), "y": nir.Output(np.array([4, 1, 3]))}
    nir.write(str(tmp_path / "graph.nir"), nir.NIRGraph(nodes, [("x", "att"), ("att", "y")], type_check=False))
    rows = [" ".join(re.findall(r"[\w ,]+", line)).split() for line in printed(tmp_path / "graph.nir").splitlines()]
    assert ["att", "one", "product", "12", "48", "2"] in rows
    assert ["att", "coincidence", "gates", "72", "288", "2"] in rows


def test_whoever_runs_the_placeholder_of_a_marked_attention_gets_no_number() -> None:
    body = MarkedAttention((2, 1, 1), 1).subgraph().nodes["placeholder"]
    assert np.isnan(body.weight).all()


@pytest.mark.parametrize("mark", ["junk", "{}", '{"heads": 3}', '{"heads": 0}'])
def test_a_mark_that_does_not_fit_is_refused(mark: str) -> None:
    node = MarkedAttention((4, 2, 2), 2).subgraph()
    node.metadata[MARK] = mark
    with pytest.raises(GraphError, match="node att: "):
        read_marked("att", node)


def test_the_preset_of_a_whole_sensor_needs_marked_attention() -> None:
    config = load_config(Path(__file__).parents[1] / "configs" / "dvs128.toml").encoder
    assert (config.size, config.time_steps, config.mixers) == (128, 16, ("swm", "swm", "ssa", "ssa"))
    sizes = [(config.channels[stage], config.stage_sizes[stage], config.heads[stage]) for stage in (2, 3)]
    gates = [attention.Attention((channels, size, size), heads, 1.0).gates for channels, size, heads in sizes]
    assert min(gates) > attention.LARGEST_GATES
