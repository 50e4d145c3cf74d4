"""Counts of traced recordings, against torch convolutions, plain loops and counters that we did not write."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import SMALL, calibrated, random_frames
from numpy.typing import NDArray

from deploy.backends.run import main as run
from deploy.backends.simulator_backend import find_interpreter
from deploy.energy.networks.module import count_module
from deploy.energy.search import scan
from export.encoder.network import build_network
from export.encoder.operations import attention
from export.nir.interpreter import Interpreter
from export.nir.metadata import read_encoder
from export.nir.to_nir import export_nir
from export.nir.trace import input_spikes
from export.synaptic.counted import PRODUCTS
from export.synaptic.counting import trace_counts
from export.synaptic.counts import NetworkCounts
from export.synaptic.lowering import lower
from export.synaptic.populations import Population
from export.synaptic.schedule import schedule
from export.synaptic.sizes import weight_bits, widest_weight
from spikinghash.errors import ConfigError, GraphError, MissingToolError
from tests.commands import Call

ROOT = Path(__file__).parents[1]
FRAMES = random_frames(SMALL, 5)
Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "small.nir"
    export_nir(build_network(calibrated(SMALL), "integer"), path)
    return path


@pytest.fixture(scope="module")
def marked_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "marked.nir"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "LARGEST_GATES", 1)
        export_nir(build_network(calibrated(SMALL), "integer"), path)
    return path


@pytest.fixture(scope="module")
def counts(encoder: Path) -> NetworkCounts:
    return trace_counts(encoder, FRAMES, 1e5)


@pytest.fixture(scope="module")
def marked_counts(marked_encoder: Path) -> NetworkCounts:
    return trace_counts(marked_encoder, FRAMES, 1e5)


@pytest.mark.parametrize("traced", ["counts", "marked_counts"])
def test_the_steps_are_those_that_lava_runs(traced: str, request: pytest.FixtureRequest) -> None:
    """The schedule of the Lava backend, and no population before what feeds it."""
    counts: NetworkCounts = request.getfixturevalue(traced)
    path: Path = request.getfixturevalue(traced.replace("counts", "encoder") if "_" in traced else "encoder")
    graph, metadata = read_encoder(path)
    lava = schedule(lower(graph, dt=metadata.dt))
    assert counts.machine_steps == lava.steps(metadata.steps) == metadata.steps + lava.depth
    lags = {layer.name: layer.lag for layer in counts.layers}
    assert all(lags[name] == lava.latencies[name] for name in lags if name in lava.latencies)
    kinds = {layer.name: layer.kind for layer in counts.layers}
    for source, target in counts.edges:
        if not {kinds[source], kinds[target]} & {"delay", "attention"}:
            assert lags[target] > lags[source]
    assert 0 == lags["input"] < max(lags.values()) <= counts.depth


def recorded(path: Path) -> tuple[nir.NIRGraph, Arrays]:
    """What every node emits, (samples, steps, *shape)."""
    graph, metadata = read_encoder(path)
    spikes = input_spikes(FRAMES, metadata)
    wanted = [name for name, node in graph.nodes.items() if not isinstance(node, nir.Input | nir.Output)]
    return graph, Interpreter(graph, metadata.dt).run(spikes, wanted)[1] | {"input": spikes}


def convolution(node: nir.Conv2d) -> Callable[[torch.Tensor], torch.Tensor]:
    """The node in torch with a 1 for every weight that is not zero."""
    weight = torch.from_numpy(np.asarray(node.weight) != 0).double()
    stride, padding = tuple(np.ravel(node.stride).tolist()), tuple(np.ravel(node.padding).tolist())
    return lambda x: torch.nn.functional.conv2d(x, weight, None, stride, padding, 1, int(node.groups))


def sources_of(graph: nir.NIRGraph, name: str) -> list[str]:
    return [start for start, end in graph.edges if end == name]


def test_synaptic_operations_and_updates_against_torch_convolutions(encoder: Path, counts: NetworkCounts) -> None:
    graph, spikes = recorded(encoder)
    samples, compared = len(FRAMES), 0
    for layer in counts.layers:
        if layer.kind == "input":
            continue
        expected = np.zeros(samples)
        for source in sources_of(graph, layer.name):
            node = graph.nodes[source]
            if not isinstance(node, nir.Conv2d):
                expected += spikes[source].reshape(samples, -1).sum(axis=1)
                continue
            for origin in sources_of(graph, source):
                frames = torch.from_numpy(spikes[origin]).double().flatten(0, 1)
                response = convolution(node)(frames)
                expected += response.reshape(samples, -1).sum(dim=1).numpy()
            compared += 1
        np.testing.assert_array_equal(layer.synops, expected, err_msg=layer.name)
        np.testing.assert_array_equal(layer.spikes, spikes[layer.name].reshape(samples, -1).sum(axis=1))
        assert layer.neuron_spikes is not None
        np.testing.assert_array_equal(layer.neuron_spikes, spikes[layer.name].sum(axis=(0, 1)).ravel())
        np.testing.assert_array_equal(
            layer.active_updates + layer.inactive_updates(layer.steps), layer.neurons * layer.steps
        )
        assert (layer.active_updates >= layer.spikes).all()
        assert (layer.synops <= layer.synapses * layer.steps).all()
    assert compared > 50


def test_a_lif_is_active_while_its_potential_is_not_zero(encoder: Path, counts: NetworkCounts) -> None:
    """A neuron is idle exactly while nothing has arrived since its last spike (weights cancel nowhere by chance)."""
    graph, spikes = recorded(encoder)
    layer = next(layer for layer in counts.layers if layer.name == "hash_lif")
    node = graph.nodes["hash_lif"]
    current = sum(spikes[source] for source in sources_of(graph, "hash_lif")).reshape(len(FRAMES), layer.steps, -1)
    active = np.zeros(len(FRAMES))
    for sample in range(len(FRAMES)):
        v = np.zeros(layer.neurons)
        for step in range(layer.steps):
            v = v / 2 + current[sample, step] / 2
            fired = v > node.v_threshold.ravel()
            active[sample] += np.count_nonzero((current[sample, step] != 0) | (v != 0))
            v[fired] = 0
    np.testing.assert_array_equal(layer.active_updates, active)


def test_work_of_a_marked_attention_against_loops(marked_encoder: Path, marked_counts: NetworkCounts) -> None:
    graph, spikes = recorded(marked_encoder)
    (name,) = (layer.name for layer in marked_counts.layers if layer.adds is not None)
    by_name = {layer.name: layer for layer in marked_counts.layers}
    products, sums = by_name[name + PRODUCTS], by_name[name]
    (source,) = sources_of(graph, name)
    heads, tokens = SMALL.heads[-1], int(np.prod(spikes[source].shape[-2:]))
    split = spikes[source].reshape(len(FRAMES), products.steps, 3, heads, -1, tokens)
    width = split.shape[4]
    ands, adds, events = np.zeros(len(FRAMES)), np.zeros(len(FRAMES)), np.zeros(len(FRAMES))
    for sample, step, head in np.ndindex(len(FRAMES), products.steps, heads):
        q, k, v = split[sample, step, :, head]
        for a, b in np.ndindex(width, width):
            coincidences = sum(int(k[a, j]) & int(v[b, j]) for j in range(tokens))
            ands[sample] += coincidences
            events[sample] += coincidences > 0
            adds[sample] += sum(int(q[a, i]) for i in range(tokens) if coincidences)
    assert ands.any()
    np.testing.assert_array_equal(products.ands, ands)
    np.testing.assert_array_equal(products.spikes, events)
    np.testing.assert_array_equal(sums.adds, adds)
    np.testing.assert_array_equal(sums.spikes, (spikes[name].reshape(len(FRAMES), -1) != 0).sum(axis=1))


@pytest.mark.parametrize("backend", ["nir", "lava"])
def test_a_marked_attention_is_traced_from_what_it_reads(
    backend: str, marked_encoder: Path, marked_counts: NetworkCounts, call: Call, tmp_path: Path
) -> None:
    _, metadata = read_encoder(marked_encoder)
    np.savez(tmp_path / "x.npz", spikes=input_spikes(FRAMES, metadata))
    options = ("--backend", "lava", "--executor", "local") if backend == "lava" else ()
    done = call(run, marked_encoder, "--input", tmp_path / "x.npz", "--trace", "--json", *options)
    assert (done.code, done.err) == (0, "")
    populations = json.loads(done.out)["populations"]
    for layer in marked_counts.layers:
        told = populations[layer.name]
        assert (told["spikes"], told["synaptic_operations"]) == (layer.spikes.tolist(), layer.synops.tolist())
    assert any(layer.name.endswith(PRODUCTS) and layer.spikes.any() for layer in marked_counts.layers)


def test_both_dialects_count_the_same_encoder(counts: NetworkCounts, tmp_path: Path) -> None:
    """Nodes are named otherwise in the portable dialect; what the encoder did before it was lowered is the same."""
    export_nir(build_network(calibrated(SMALL)), tmp_path / "portable.nir", "portable")
    portable = trace_counts(tmp_path / "portable.nir", FRAMES, 1e6)
    assert counts.natural is not None
    assert portable.natural is not None
    for own, other in zip(counts.natural.maps, portable.natural.maps, strict=True):
        assert own.map.name == other.map.name
        np.testing.assert_array_equal(own.synops, other.synops)


def test_marked_attention_and_its_gates_do_the_same(counts: NetworkCounts, marked_counts: NetworkCounts) -> None:
    """Each gate that spikes is a coincidence of q, k and v, hence a part of one count."""
    marked = {layer.name: layer for layer in marked_counts.layers}
    for layer in counts.layers:
        if "mixer" not in layer.layer and layer.layer.startswith("stage3"):
            np.testing.assert_array_equal(layer.spikes, marked[layer.name].spikes)
    reader = next(layer for layer in marked_counts.layers if layer.integer_synops is not None)
    np.testing.assert_array_equal(reader.integer_synops, reader.synops)
    assert all(layer.integer_synops is None for layer in counts.layers)


def test_new_fields_survive_json_and_old_files_still_load(marked_counts: NetworkCounts) -> None:
    text = marked_counts.to_json()
    again = NetworkCounts.from_json(text)
    assert again.to_json() == text
    for one, other in zip(marked_counts.layers, again.layers, strict=True):
        np.testing.assert_equal(one.__dict__, other.__dict__)
    values = json.loads(text)
    fresh = set(values["layers"][0]) - {
        *("name", "layer", "kind", "neurons", "synapses", "weights", "fan_in_max", "steps", "spikes", "synops"),
        "active_updates",
    }
    for layer in values["layers"]:
        for key in fresh:
            layer.pop(key)
    old = NetworkCounts.from_json(json.dumps(values))
    assert old.layers[0].neuron_spikes is None
    np.testing.assert_array_equal(old.layers[-1].synops, marked_counts.layers[-1].synops)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("neuron_spikes", [1.0], "has shape"), ("ands", [-1.0] * 5, "negative"), ("ands", [1.0], "has shape")],
)
def test_broken_new_fields_are_refused(counts: NetworkCounts, key: str, value: list[float], message: str) -> None:
    broken = replace(counts, layers=(*counts.layers[:-1], replace(counts.layers[-1], **{key: np.array(value)})))
    with pytest.raises(GraphError, match=f"c.json: layer vote: {key} .*{message}"):
        NetworkCounts.from_json(broken.to_json(), "c.json")


@given(st.lists(st.integers(-300, 300).filter(bool), min_size=1, max_size=8), st.integers(0, 6))
def test_weight_bits_against_trying_all(weights: list[int], exponent: int) -> None:
    needed = min(
        bits
        for bits in range(1, 12)
        for shift in range(10)
        if all(w % 2**shift == 0 and -(2 ** (bits - 1)) <= w // 2**shift < 2 ** (bits - 1) for w in weights)
    )
    assert weight_bits(np.array(weights, float) * 2**exponent) == needed


def test_a_bias_does_not_widen_the_weights() -> None:
    valid, other = Population("valid", "valid", "lif", (1,)), Population("p", "p", "lif", (2,))
    maps = [(valid, np.array([3000.0])), (other, np.array([6.0, -8.0]))]
    assert widest_weight(maps) == 3
    assert widest_weight(maps[:1]) == 1


def test_weights_that_are_no_whole_numbers_take_32_bits() -> None:
    assert weight_bits(np.array([0.5, 1.0])) == 32


def test_keys_of_former_counts_are_passed_over(counts: NetworkCounts) -> None:
    values = json.loads(counts.to_json())
    for layer in values["layers"]:
        layer |= {"dense_macs": 1, "state_bits": 16, "dense_ands": 0, "dense_adds": 0}
    assert NetworkCounts.from_json(json.dumps(values)).to_json() == counts.to_json()


# Counters that we did not write


def foreign(folder: Path, arrays: Arrays) -> dict[str, Any]:
    """What NeuroBench and SpikingJelly count; skips where their environment is missing."""
    try:
        interpreter = find_interpreter()
    except MissingToolError as error:
        pytest.skip(str(error))
    np.savez(folder / "in.npz", **arrays)  # type: ignore[arg-type]
    script = ROOT / "tests" / "interop" / "foreign_counters.py"
    done = subprocess.run(
        [interpreter, script, folder / "in.npz"], capture_output=True, text=True, timeout=500, check=False
    )
    if "No module named 'neurobench'" in done.stderr:
        pytest.skip("the environment of foreign simulators has no neurobench")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def ann() -> torch.nn.Sequential:
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, 1, 1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(4, 6, 3, 2, 1, groups=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(96, 5),
        torch.nn.ReLU(),
    )
    for layer in layers:
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            with torch.no_grad():
                layer.weight[torch.rand(layer.weight.shape) < 0.3] = 0
    return layers


IMAGES = torch.relu(torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(4)))


@pytest.fixture(scope="module")
def elsewhere(encoder: Path, ann: torch.nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Foreign counts of every convolution of the encoder on its own spikes, and of the ANN on the images."""
    graph, spikes = recorded(encoder)
    arrays: Arrays = {"input": IMAGES.numpy(), "order": np.array(["a", "b", "c"])}
    for name, index, geometry in (("a", 0, (1, 1, 1)), ("b", 2, (2, 1, 2)), ("c", 5, (1, 0, 1))):
        arrays[f"{name}/weight"] = ann[index].weight.detach().numpy()
        arrays[f"{name}/geometry"] = np.array(geometry)
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Conv2d):
            (source,) = sources_of(graph, name)
            arrays[f"{name}/weight"] = np.asarray(node.weight, np.float32)
            arrays[f"{name}/input"] = spikes[source].reshape(-1, *spikes[source].shape[2:]).astype(np.float32)
            stride, padding = int(np.ravel(node.stride)[0]), int(np.ravel(node.padding)[0])
            arrays[f"{name}/geometry"] = np.array([stride, padding, node.groups])
    return foreign(tmp_path_factory.mktemp("foreign"), arrays)


def test_spiking_layers_against_neurobench_and_spikingjelly(
    encoder: Path, counts: NetworkCounts, elsewhere: dict[str, Any]
) -> None:
    """Layer by layer equal to NeuroBench; SpikingJelly also counts synapses of weight zero, which we do not store.

    Both leave the padding out. Both are given one layer at a time, so a population's figure is the sum over the maps
    that reach it, its bias from the valid line among them (NeuroBench drops biases; here they are weights).
    """
    graph, _ = read_encoder(encoder)
    found, compared = elsewhere["layers"], 0
    for layer in counts.layers:
        maps = [source for source in sources_of(graph, layer.name) if isinstance(graph.nodes[source], nir.Conv2d)]
        if len(maps) < len(sources_of(graph, layer.name)) or not maps:
            continue  # delays are fed directly: one synapse a spike, which no layer of torch stands for
        assert all(found[name]["binary"] for name in maps)
        assert layer.synops.sum() == sum(found[name]["neurobench"] for name in maps)
        with_zeros = sum(found[name]["spikingjelly"] for name in maps)
        if all(np.all(graph.nodes[name].weight) for name in maps):
            assert layer.synops.sum() == with_zeros
        else:
            assert layer.synops.sum() <= with_zeros
        compared += 1
    assert compared >= 20


def test_a_dense_network_of_neurobench_has_no_synapses_on_the_padding(encoder: Path, elsewhere: dict[str, Any]) -> None:
    """Our dense count has every tap of the kernel, as an accelerator that computes the padding too."""
    graph, metadata = read_encoder(encoder)
    node, runs = graph.nodes["stage1_down"], len(FRAMES) * metadata.steps
    inside = torch.nn.functional.conv2d(
        torch.ones(1, *node.input_type["input"]), torch.ones(node.weight.shape),
        stride=tuple(np.ravel(node.stride).tolist()), padding=tuple(np.ravel(node.padding).tolist()),
    )  # fmt: skip
    assert elsewhere["layers"]["stage1_down"]["neurobench_dense"] == runs * int(inside.sum())
    assert int(inside.sum()) < inside.numel() * node.weight[0].size


def test_ann_against_neurobench(ann: torch.nn.Sequential, elsewhere: dict[str, Any]) -> None:
    """Its dense count lacks the taps on the padding, ours has them, as hardware that computes the padding."""
    inside, maps = 0, IMAGES[:1]
    for layer in ann:
        if isinstance(layer, torch.nn.Conv2d):
            taps = torch.ones_like(layer.weight)
            inside += int(layer._conv_forward(torch.ones_like(maps), taps, None).sum())
        elif isinstance(layer, torch.nn.Linear):
            inside += layer.weight.numel()
        maps = layer(maps)
    dense = sum(layer.macs for layer in count_module(ann, IMAGES[:1]))
    assert inside == elsewhere["network"]["Dense"] < dense


def test_layers_of_a_module_against_loops(ann: torch.nn.Sequential) -> None:
    first, second, last = count_module(ann, IMAGES[:1])
    assert first.macs == sum(2 * 9 for _ in np.ndindex(4, 8, 8))
    assert second.macs == 6 * 4 * 4 * 2 * 9
    assert last.macs == 96 * 5
    assert (first.outputs, last.outputs, last.inputs) == (256, 5, 96)
    assert (first.reads, last.weights - ann[5].weight.numel()) == ("", 0 if ann[5].bias is None else 5)


class Repeated(torch.nn.Module):
    """Runs a network on every time step of (samples, steps, ...)."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> Any:
        return [self.network(step) for step in x.unbind(1)]


def test_a_module_that_runs_every_step_is_one_layer(ann: torch.nn.Sequential) -> None:
    repeated = count_module(Repeated(ann), IMAGES[None])
    for one, other in zip(repeated, count_module(ann, IMAGES[:1]), strict=True):
        assert (one.macs, one.inputs, one.weights) == (3 * other.macs, 3 * other.inputs, other.weights)


# Search


@given(st.integers(1, 50), st.integers(1, 300), st.sampled_from([8, 32, 64]))
def test_scan_against_a_search_that_counts(codes: int, bits: int, word_bits: int) -> None:
    words_read = popcounts = adds = 0
    for _ in range(codes):
        left, sums = bits, 0
        while left > 0:
            words_read, popcounts, sums, left = words_read + 1, popcounts + 1, sums + 1, left - word_bits
        adds += sums - 1
    work = scan(codes, bits, word_bits)
    assert work.words == words_read == popcounts == adds + codes
    assert work.bytes_read == np.packbits(np.zeros((codes, bits), np.uint8), axis=1).nbytes


def test_scan_refuses_nothing_to_search() -> None:
    with pytest.raises(ConfigError, match="codes: 0 is too few"):
        scan(0, 32)
