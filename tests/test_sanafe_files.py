"""What is written for SANA-FE: relays in the place of delays, and every neuron and synapse in its description.

``tests/interop/test_to_sanafe.py`` runs it there.
"""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import yaml

from deploy.backends.sanafe.description import PER_CORE, Description
from deploy.backends.to_sanafe import describe, main
from export.encoder.network import build_network
from export.nir.interpreter import Interpreter
from export.nir.to_nir import export_nir
from export.synaptic.lowering import lower
from export.synaptic.populations import SynapseNetwork
from export.synaptic.relays import SUFFIX, with_relays
from export.synaptic.schedule import schedule
from spikinghash.errors import GraphError
from tests.commands import Call
from tests.networks import TINY, calibrated
from tests.nir_graphs import DT, Array, built, cuba_lif, lif, neurons, quarters, spikes_for

SPIKING = ("lif", "cuba_lif", "if", "delay")


def without_leak_potential(node: nir.CubaLIF) -> nir.CubaLIF:
    node.v_leak = np.zeros_like(node.v_leak)
    return node


def mixed() -> nir.NIRGraph:
    """Neurons of all kinds that SANA-FE has, delays of 0 to 4 steps, ways of unlike length, and odd names."""
    rng = np.random.default_rng(0)
    nodes: dict[str, Any] = {
        "spread": nir.Affine(quarters(rng, 6, 12, low=-1, high=2), quarters(rng, 6, low=-1, high=2)),
        **{name: node for name, node in neurons((6,), rng).items() if name in SPIKING},
        "cuba_lif": without_leak_potential(cuba_lif((6,), rng)),
        "turned": nir.Affine(quarters(rng, 6, 6), quarters(rng, 6)),
        "a b": lif((6,), rng),
        "a_b": lif((6,), rng),
        "out": lif((6,), rng),
    }
    edges = "x>spread turned>out a_b>out out>y "
    edges += " ".join(f"spread>{name} {name}>turned" for name in SPIKING)
    graph = built(nodes, edges, (12,), (6,), dt=DT)
    graph.edges += [("lif", "a b"), ("a b", "a_b")]
    return graph


def written(graph: nir.NIRGraph, folder: Path) -> Path:
    path = folder / "graph.nir"
    nir.write(str(path), graph)
    return path


def hop_by_hop(network: SynapseNetwork, trains: dict[str, Array], steps: int) -> dict[str, Array]:
    """Spikes of all neurons, (steps, neurons), where each synapse hands on what was sent in the step before."""
    sent = {each.name: np.zeros(each.neurons) for each in network.populations}
    v = {each.name: np.zeros(each.neurons) for each in network.neurons}
    u, said = dict(v), {name: np.zeros((steps, len(value))) for name, value in v.items()}
    for step in range(steps):
        arriving = {name: np.zeros(len(value)) for name, value in v.items()}
        for part in network.projections:
            arriving[part.target] += part.weights @ sent[part.source]
        for population in network.neurons:
            name, rule = population.name, population.dynamics
            kept = 0.0 if rule.current_decay is None else 1 - rule.current_decay
            u[name] = kept * u[name] + arriving[name]
            v[name] = (1 - rule.decay) * v[name] + u[name]
            said[name][step] = sent[name] = (v[name] > rule.threshold) * 1.0
            v[name] = np.where(sent[name] != 0, rule.reset, v[name])
        for name, train in trains.items():
            sent[name] = train[step] if step < len(train) else np.zeros(train.shape[1])
    return said


def test_relays_take_the_place_of_delays() -> None:
    graph = mixed()
    network = lower(graph)
    timing = schedule(network)
    relayed = with_relays(network, timing)
    assert all(part.delay == 0 for part in relayed.projections)
    assert sum(SUFFIX in each.name for each in relayed.populations) > 4
    spikes = spikes_for(graph, samples=1, steps=12)
    names = [each.name for each in network.neurons]
    _, expected = Interpreter(graph).run(spikes, names)
    constant = {each.name: np.ones((40, 1)) for each in network.of_kind("constant")}
    found = hop_by_hop(relayed, {network.input.name: spikes[0], **constant}, 40)
    for name in names:
        lag = timing.latencies[name] - 1  # what is sent in a step arrives in the next, here as the first
        assert expected[name].any()
        np.testing.assert_array_equal(found[name][lag + 1 : lag + 13], expected[name][0].reshape(12, -1), err_msg=name)


def test_only_neurons_whose_spikes_wait_are_relayed() -> None:
    """Input to ``b`` alone has to wait, for ``a``: one of two inputs goes there."""
    nodes = {"a": nir.Threshold(np.array([0.5])), "b": nir.Threshold(np.array([0.5])),
             "first": nir.Linear(np.array([[1.0, 0.0]])), "second": nir.Linear(np.array([[0.0, 1.0]]))}  # fmt: skip
    network = lower(built(nodes, "x>first first>a x>second second>b a>b b>y", (2,), (1,)))
    relayed = with_relays(network, schedule(network))
    relays = {each.name: each.neurons for each in relayed.populations if SUFFIX in each.name}
    assert relays == {f"x{SUFFIX}1": 1}


def parsed(description: Description) -> dict[str, Any]:
    text = io.StringIO()
    description.write(text)
    return dict(yaml.safe_load(text.getvalue()))


def test_every_neuron_and_synapse_is_described_and_mapped_once(tmp_path: Path) -> None:
    description = describe(written(mixed(), tmp_path), steps=12)
    told = parsed(description)
    groups = {group["name"]: _count(group["neurons"]) for group in told["network"]["groups"]}
    assert groups == {description.groups[each.name]: each.neurons for each in description.network.populations}
    assert all(name.isidentifier() and name.isascii() for name in groups)
    for edge, part in zip(told["network"]["edges"], description.network.projections, strict=True):
        ((ends, synapses),) = edge.items()
        assert ends == f"{description.groups[part.source]} -> {description.groups[part.target]}"
        matrix = np.zeros(part.weights.shape)
        for (source, target), weight in zip(synapses["source_target_pairs"], synapses["weight"], strict=True):
            matrix[target, source] = weight
        np.testing.assert_array_equal(matrix, part.weights.toarray() * 2.0**description.scale_bits)
    mapped: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for entry in told["mappings"]:
        ((place, values),) = entry.items()
        group, _, numbers = place.partition(".")
        mapped[group] += _length(numbers)
        held[str(values[0]["core"])] += _length(numbers)
    assert mapped == groups
    assert max(held.values()) <= PER_CORE


def _count(neurons: list[dict[str, Any]]) -> int:
    return sum(_length(str(next(iter(each)))) for each in neurons)


def _length(numbers: str) -> int:
    first, _, last = numbers.partition("..")
    return int(last or first) - int(first) + 1


def test_potentials_have_room_and_are_cut_as_finely_as_they_can(tmp_path: Path) -> None:
    """A counter of 100 inputs of weight 1 in 10 steps comes to 1,000 at most: 64 times that, scaled, has 32 bits."""
    nodes = {"w": nir.Linear(np.ones((1, 100))), "n": nir.IF(np.ones(1) / DT, np.array([1000.0]), np.zeros(1))}
    description = describe(written(built(nodes, "x>w w>n n>y", (100,), (1,), dt=DT), tmp_path), steps=10)
    largest = 64 * 1000 * 2.0**description.scale_bits
    assert 2**29 <= largest < 2**31
    assert description.cut == 2.0 ** (-6 - description.scale_bits)


def test_the_encoder_keeps_more_bits_than_it_needs(tmp_path: Path) -> None:
    """A neuron of TINY halves its potential at most time_steps times before it is out of its window."""
    export_nir(build_network(calibrated(TINY)), tmp_path / "encoder.nir")
    assert describe(tmp_path / "encoder.nir", 1).cut <= 2.0**-TINY.time_steps


@pytest.mark.parametrize(
    ("nodes", "edges", "reason"),
    [
        ({"n": nir.LI(*np.array([[DT], [1.0], [0.0]]))}, "x>n n>y", "node n: emits its potential"),
        ({"n": nir.Threshold(np.array([-1.0]))}, "x>n n>y", "node n: a threshold is -1"),
        (
            {"n": nir.LIF(*np.array([[DT / 2], [1.0], [0.0], [1.0], [0.0]]))}, "x>n n>y", "node n: dt/tau is 2",
        ),
        ({"n": nir.CubaLIF(*np.array([[DT], [DT], [1.0], [1.0], [1.0]]))}, "x>n n>y", "node n: a CubaLIF whose v_leak"),
        (
            {name: nir.Threshold(np.array([0.5])) for name in "ab"}, "x>a a>b b>a b>y", "more hops than delay: 2 steps",
        ),
    ],
)  # fmt: skip
def test_what_sana_fe_cannot_do_is_refused_by_name(
    nodes: dict[str, Any], edges: str, reason: str, tmp_path: Path
) -> None:
    path = written(built(nodes, edges, (1,), (1,), dt=DT), tmp_path)
    with pytest.raises(GraphError, match=reason):
        describe(path, 10)


def test_the_command_writes_without_a_run_where_it_is_told_to(tmp_path: Path, call: Call) -> None:
    path = written(mixed(), tmp_path)
    done = call(main, path, "--no-check")
    assert done.code == 0
    assert "run in SANA-FE" not in done.out
    assert yaml.safe_load((tmp_path / "graph.yaml").read_text())["mappings"]


def test_nothing_is_left_where_a_graph_is_refused(tmp_path: Path, call: Call) -> None:
    leaking = lif((1,), np.random.default_rng(0))
    leaking.v_threshold[:] = -1
    done = call(main, written(built({"n": leaking}, "x>n n>y", (1,), (1,), dt=DT), tmp_path))
    assert done.code == 2
    assert done.err.startswith(f"error: {tmp_path}/graph.nir: node n: a threshold is -1")
    assert [each.name for each in tmp_path.iterdir()] == ["graph.nir"]
