"""Mapping onto cores: placement, limits, mesh and traffic, against plain loops over the synapses."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SMALL, calibrated
from scipy import sparse

from deploy.energy.mapping.limits import Capacities
from deploy.energy.mapping.mesh import distances, to_and_fro
from deploy.energy.mapping.place import place
from deploy.energy.mapping.placement import Placement
from deploy.energy.mapping.traffic import Traffic, counted_traffic
from deploy.energy.mapping.usage import core_use
from export.encoder.network import build_network as integer_network
from export.nir.marked_attention import MarkedAttention
from export.nir.to_nir import export_nir
from export.synaptic.counted import attention_inputs, build_network
from export.synaptic.counts import LayerCounts, NetworkCounts
from export.synaptic.populations import Population, Projection, SynapseNetwork
from hardware_profiles.loader import load_profile
from hardware_profiles.schema import Limit, Limits, Profile
from spikinghash.errors import GraphError, ProfileError

LOIHI = load_profile("loihi1").profile
STATED = {
    "neurons_per_core": 8,
    "synapse_bytes_per_core": 40,
    "synapse_bits": 9,
    "in_axons_per_core": 14,
    "out_axons_per_core": 12,
    "cores_per_chip": 4,
    "cores_per_tile": 2,
    "mesh_columns": 2,
    "mesh_rows": 1,
    "chips": 100,
}


def platform(**changes: int | None) -> Profile:
    """A platform of small cores."""
    stated = {name: value for name, value in (STATED | changes).items() if value is not None}
    limits = Limits(**{name: Limit(value=value, source="davies2018") for name, value in stated.items()})
    return LOIHI.model_copy(update={"limits": limits})


def random_network(seed: int, cyclic: bool = False, density: float = 0.3) -> SynapseNetwork:
    """Inputs and three populations of random sizes with random synapses, skipping ahead, and back where ``cyclic``."""
    rng = np.random.default_rng(seed)
    shapes = [tuple(int(size) for size in rng.integers(1, 4, 3)) for _ in range(4)]
    populations = [
        Population(f"p{i}", f"p{i}", "lif" if i else "input", shape) for i, shape in enumerate(shapes)
    ]  # fmt: skip
    ends = [(0, 1), (1, 2), (0, 2), (2, 3), (1, 2)] + ([(3, 1), (2, 2)] if cyclic else [])
    projections = [
        Projection(
            f"p{start}",
            f"p{end}",
            sparse.csr_matrix(
                rng.random((populations[end].neurons, populations[start].neurons)) < density, dtype=float
            ),
            ("map",),
        )
        for start, end in ends
    ]
    return SynapseNetwork(tuple(populations), tuple(projections))


def placed(network: SynapseNetwork, profile: Profile) -> Placement:
    placement = place(network, profile).placement
    assert placement is not None
    return placement


def recount(network: SynapseNetwork, mapping: Placement) -> dict[str, list[float]]:
    """What each core holds, by loops over single synapses."""
    use = {name: [0.0] * mapping.cores for name in ("neurons", "synapse_bytes", "in_axons", "out_axons")}
    into: list[set[tuple[str, int]]] = [set() for _ in range(mapping.cores)]
    out: list[set[tuple[str, int, int]]] = [set() for _ in range(mapping.cores)]
    for numbers in mapping.core_of.values():
        for core in numbers:
            use["neurons"][core] += 1
    for projection in network.projections:
        rows, columns = projection.weights.nonzero()
        for target, source in zip(rows.tolist(), columns.tolist(), strict=True):
            core = int(mapping.core_of[projection.target][target])
            use["synapse_bytes"][core] += mapping.capacities.synapse_bits / 8
            into[core].add((projection.source, source))
            if projection.source in mapping.core_of:
                out[int(mapping.core_of[projection.source][source])].add((projection.source, source, core))
    use["in_axons"] = [len(each) for each in into]
    use["out_axons"] = [len(each) for each in out]
    return use


capacities = st.fixed_dictionaries(
    {
        "neurons_per_core": st.integers(1, 12),
        "synapse_bytes_per_core": st.integers(4, 60),
        "in_axons_per_core": st.integers(4, 40),
        "out_axons_per_core": st.integers(2, 40),
        "chips": st.integers(1, 6),
    }
)


@settings(max_examples=150)
@given(seed=st.integers(0, 10_000), cyclic=st.booleans(), limits=capacities)
def test_every_neuron_is_placed_once_and_no_limit_breaks_unsaid(
    seed: int, cyclic: bool, limits: dict[str, int]
) -> None:
    network = random_network(seed, cyclic)
    profile = platform(**limits)
    fit, mapping = place(network, profile), placed(network, profile)
    for population in network.populations:
        if population.kind != "input":
            numbers = mapping.core_of[population.name]
            assert numbers.shape == (population.neurons,)
            assert ((numbers >= 0) & (numbers < mapping.cores)).all()
    assert set(mapping.core_of) == {"p1", "p2", "p3"}
    counted = recount(network, mapping)
    use = core_use(network, mapping.core_of, mapping.capacities.synapse_bits)
    for name, values in counted.items():
        assert getattr(use, name).tolist() == values
    assert mapping.held.sum(axis=0).tolist() == counted["neurons"]
    assert mapping.synapse_bytes.tolist() == counted["synapse_bytes"]
    allowed = {name.removesuffix("_per_core"): limits[name] for name in limits if name != "chips"}
    words = {
        "neurons": "neurons per core",
        "synapse_bytes": "synapse bytes per core",
        "in_axons": "input axons per core",
        "out_axons": "output axons per core",
    }
    broken = {words[name] for name, values in counted.items() if max(values) > allowed[name]}
    if mapping.cores > 4 * limits["chips"]:
        broken.add(f"cores of {mapping.capacities.on_chips}")
    assert {each.limit for each in fit.broken} == broken
    assert fit.verdict == ("no" if broken else "yes")
    assert all(check.fits == ("no" if check.limit in broken else "yes") for check in fit.checks)
    assert min(counted["neurons"]) >= 1


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), limits=capacities)
def test_without_cycles_only_single_neurons_break_limits_of_cores(seed: int, limits: dict[str, int]) -> None:
    network = random_network(seed)
    mapping = placed(network, platform(**limits))
    use = core_use(network, mapping.core_of, mapping.capacities.synapse_bits)
    for name, stated in limits.items():
        if name != "chips":
            over = getattr(use, name.removesuffix("_per_core")) > stated
            assert (use.neurons[over] == 1).all()


def test_a_small_network_shares_one_core_and_the_input_takes_none() -> None:
    mapping = placed(random_network(3), LOIHI)
    assert (mapping.cores, mapping.tiles, mapping.chips) == (1, 1, 1)
    assert mapping.populations == ("p1", "p2", "p3")
    assert mapping.mean_hops == mapping.max_hops == 0


def pixelwise(channels: int, pixels: int) -> SynapseNetwork:
    """A 1x1 convolution: every output channel reads all input channels of its own pixel."""
    weights = sparse.csr_matrix(sparse.kron(np.ones((channels, channels)), sparse.identity(pixels)))
    shape = (channels, pixels, 1)
    return SynapseNetwork(
        (Population("in", "in", "input", shape), Population("out", "out", "lif", shape)),
        (Projection("in", "out", weights, ("map",)),),
    )


def test_a_pixelwise_map_is_cut_by_positions_where_that_saves_axons() -> None:
    # 4 axons per pixel: cut by channel, a core of 8 neurons would need all 32 sources.
    profile = platform(synapse_bytes_per_core=1000, in_axons_per_core=8, out_axons_per_core=1000)
    fit, mapping = place(pixelwise(4, 8), profile), placed(pixelwise(4, 8), profile)
    assert fit.verdict == "yes"
    assert mapping.cores == 4
    assert (core_use(pixelwise(4, 8), mapping.core_of, 9).in_axons == 8).all()


def test_every_broken_limit_is_named_at_once_with_its_remedy() -> None:
    weights = sparse.csr_matrix(np.full((2, 30), 700.0) + np.arange(30))
    network = SynapseNetwork(
        (Population("in", "in", "input", (30,)), Population("wide", "wide", "lif", (2,))),
        (Projection("in", "wide", weights, ("map",)),),
    )
    broken = place(
        network, platform(max_fan_in=20, weight_bits=8, neurons_per_chip=1, chips=1, cores_per_chip=1)
    ).broken
    assert {each.limit: (each.where, each.needed, each.has) for each in broken} == {
        "input axons per core": ("wide", 30, 14),
        "fan-in of a neuron": ("wide", 30, 20),
        "bits per weight": ("wide", 11, 8),
        "neurons on 1 chip": ("the network", 2, 1),
        "cores of 1 chip": ("the network", 2, 1),
    }
    assert str(broken[0]) == (
        "wide: input axons per core: needs 30 (on 2 cores), has 14: "
        "give the layer fewer inputs per neuron (fewer channels or a smaller kernel)"
    )
    assert [each.remedy for each in broken[1:]] == [
        "give the layer fewer inputs per neuron (fewer channels or a smaller kernel)",
        "use a smaller network, or a platform of more chips",
        "use a smaller network, or a platform of more chips",
        "quantise to fewer bits, or use a platform with wider weights",
    ]


def test_a_platform_without_cores_is_refused() -> None:
    with pytest.raises(ProfileError, match="cmos_45nm: the profile states no neurons per core"):
        place(random_network(1), load_profile("cmos_45nm").profile)
    with pytest.raises(ProfileError, match="speck: a core holds exactly one population"):
        place(random_network(1), load_profile("speck").profile)
    assert Capacities.of(LOIHI).cores == 768 * 128


# Mesh and traffic


@pytest.mark.parametrize("columns", [1, 3, 8])
def test_consecutive_tiles_are_neighbours(columns: int) -> None:
    places = to_and_fro(np.arange(4 * columns), columns)
    assert len({tuple(place) for place in places.tolist()}) == 4 * columns
    assert all(abs(a - c) + abs(b - d) == 1 for (a, b), (c, d) in pairwise(places.tolist()))
    assert distances(places, places[0]).tolist() == [int(abs(x) + abs(y)) for x, y in places]


def counts_of(network: SynapseNetwork, seed: int, samples: int = 3) -> NetworkCounts:
    """Counts with random spikes of every neuron."""
    rng = np.random.default_rng(seed)
    layers = []
    for population in network.populations:
        spikes = rng.integers(0, 3, (population.neurons, samples)).astype(float)
        zeros = np.zeros(samples)
        sizes = (population.neurons, 0, 0, 0, 9)
        layer = LayerCounts(population.name, population.name, "lif", *sizes, spikes.sum(axis=0), zeros, zeros)
        layers.append(replace(layer, neuron_spikes=spikes.sum(axis=1)))
    return NetworkCounts("n sha256:0", samples, 8, 9, 1, 1e5, tuple(layers))


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), cyclic=st.booleans())
def test_traffic_against_loops_over_spikes(seed: int, cyclic: bool) -> None:
    network = random_network(seed, cyclic)
    mapping = placed(network, platform())
    counts = counts_of(network, seed)
    result = counted_traffic(counts, network, mapping)

    def tile(core: int) -> tuple[int, int]:
        chip, within = divmod(core, 4)
        side = int(np.ceil(np.sqrt(mapping.chips)))
        row, along = divmod(chip, side)
        return 2 * (side - 1 - along if row % 2 else along) + within // 2, row

    def chip(core: int) -> tuple[int, int]:
        return tile(core)[0] // 2, tile(core)[1]

    synops = np.zeros(mapping.cores)
    arriving, leaving = np.zeros(mapping.cores), np.zeros(mapping.cores)
    for layer in counts.layers:
        packets = hops = crossings = 0.0
        assert layer.neuron_spikes is not None
        for neuron, spikes in enumerate(layer.neuron_spikes / counts.samples):
            home = int(mapping.core_of[layer.name][neuron]) if layer.name in mapping.core_of else 0
            targets = [
                int(mapping.core_of[projection.target][target])
                for projection in network.projections
                if projection.source == layer.name
                for target in projection.weights[:, neuron].nonzero()[0]
            ]
            for core in targets:
                synops[core] += spikes
            for core in set(targets):
                arriving[core] += spikes
                leaving[home] += spikes * (layer.name in mapping.core_of)
                packets += spikes
                hops += spikes * sum(abs(a - b) for a, b in zip(tile(home), tile(core), strict=True))
                crossings += spikes * sum(abs(a - b) for a, b in zip(chip(home), chip(core), strict=True))
        assert result.packets[layer.name].mean() == pytest.approx(packets)
        assert result.hops is not None
        assert result.hops[layer.name].mean() == pytest.approx(hops)
        assert result.crossings[layer.name].mean() == pytest.approx(crossings)
    for events, expected in ((result.synops, synops), (result.received, arriving), (result.sent, leaving)):
        np.testing.assert_allclose(events.on_cores().mean(axis=1), np.tile(expected, (3, 1)), atol=1e-12)
    assert sum(packets.sum() for packets in result.packets.values()) == pytest.approx(
        3 * counts.samples * arriving.sum()
    )


def traffic_of(network: SynapseNetwork, profile: Profile) -> Traffic:
    return counted_traffic(counts_of(network, 5), network, placed(network, profile))


def test_without_a_mesh_there_are_packets_but_no_hops() -> None:
    network = random_network(5)
    result = traffic_of(network, platform(mesh_columns=None, mesh_rows=None))
    assert result.hops is None
    assert all(packets.any() for packets in result.packets.values() if packets is not result.packets["p3"])


def test_traffic_refuses_counts_of_another_network_and_old_ones() -> None:
    network, mapping = random_network(5), placed(random_network(5), platform())
    with pytest.raises(GraphError, match="is not of this network"):
        counted_traffic(counts_of(random_network(6), 5), network, mapping)
    counts = counts_of(network, 5)
    old = replace(counts, layers=tuple(replace(layer, neuron_spikes=None) for layer in counts.layers))
    with pytest.raises(GraphError, match="lacks the spikes of each neuron"):
        counted_traffic(old, network, mapping)


# Populations of a graph


def test_a_chain_of_linear_nodes_is_one_projection() -> None:
    rng = np.random.default_rng(0)
    convolution = rng.integers(-2, 3, (3, 2, 3, 3)).astype(np.float32)
    dense = rng.integers(-2, 3, (5, 12)).astype(np.float32)
    nodes: dict[str, Any] = {
        "input": nir.Input(np.array([2, 4, 4])),
        "conv": nir.Conv2d((4, 4), convolution, 1, 1, 1, 1, np.zeros(3, np.float32)),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([3, 2, 2])}, 0, -1),
        "dense": nir.Linear(dense),
        "lif": nir.LIF(*(np.full(5, value) for value in (2e-4, 1.0, 0.0, 1.0))),
        "read": nir.Linear(np.ones((2, 5), np.float32)),
        "output": nir.Output(np.array([2])),
    }
    names = list(nodes)
    network = build_network(nir.NIRGraph(nodes, list(pairwise(names)), type_check=False))
    assert [(each.name, each.kind, each.neurons) for each in network.populations] == [
        ("input", "input", 32),
        ("lif", "lif", 5),
        ("output", "readout", 2),
    ]
    (arriving,) = network.arriving["lif"]
    assert arriving.nodes == ("conv", "pool", "flat", "dense")
    for _ in range(5):
        image = rng.integers(0, 2, (2, 4, 4)).astype(float)
        padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
        mapped = np.array(
            [
                [[(padded[:, y : y + 3, x : x + 3] * kernel).sum() for x in range(4)] for y in range(4)]
                for kernel in convolution
            ]
        )
        pooled = mapped.reshape(3, 2, 2, 2, 2).sum(axis=(2, 4))
        np.testing.assert_allclose(arriving.weights @ image.ravel(), dense @ pooled.ravel())


@pytest.mark.parametrize(("heads", "width", "side"), [(1, 2, 2), (2, 2, 1), (2, 3, 2)])
def test_an_attention_needs_exactly_the_spikes_that_can_change_it(heads: int, width: int, side: int) -> None:
    marked = MarkedAttention((heads * width, side, side), heads)
    products, counts = attention_inputs(marked)
    tokens, inputs = side * side, 3 * heads * width * side * side
    rng = np.random.default_rng(1)
    onto_products, onto_counts = np.zeros(products.shape), np.zeros(counts.shape)
    for _ in range(60):
        spikes = rng.integers(0, 2, inputs).astype(float)
        for index in range(inputs):
            other = spikes.copy()
            other[index] = 1 - other[index]
            both = []
            for values in (spikes, other):
                q, k, v = values.reshape(3, heads, width, tokens)
                both.append((np.einsum("haj,hbj->hab", k, v).ravel(), marked.counts(values[:, None]).ravel(), q))
            onto_products[:, index] += both[0][0] != both[1][0]
            if index < inputs // 3:
                onto_counts[:, index] += both[0][1] != both[1][1]
    assert np.array_equal(products.toarray() > 0, onto_products > 0)
    assert np.array_equal(counts.toarray() > 0, onto_counts > 0)


# The command


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "small.nir"
    export_nir(integer_network(calibrated(SMALL), "integer"), path)
    return path


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.place", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_prints_the_placement(encoder: Path) -> None:
    done = command(str(encoder), "--profile", "loihi1", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["fits"] == "yes"
    assert shown["broken"] == []
    assert shown["busiest"]["share"] <= 1
    assert {check["limit"] for check in shown["checks"]} >= {"output axons per core", "cores of 768 chips"}


def test_a_network_that_does_not_fit_exits_with_1_and_names_all_limits(encoder: Path, tmp_path: Path) -> None:
    text = Path("hardware_profiles/loihi1.toml").read_text()
    text = text.replace("in_axons_per_core = { value = 4096", "in_axons_per_core = { value = 20")
    text = text.replace("chips = { value = 768", "chips = { value = 1").replace("value = 1024", "value = 4")
    (tmp_path / "tiny.toml").write_text(text)
    done = command(str(encoder), "--profile", str(tmp_path / "tiny.toml"))
    assert done.returncode == 1
    assert "does not fit: the network: cores of 1 chip: needs" in done.stdout
    assert ": input axons per core: needs" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "does not fit Intel Loihi 1" in done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("does not fit: ")]
    limits = [line.split(": ")[2] for line in lines]
    assert len(limits) == len(set(limits))
    assert f"{len(limits)} limits are broken" in done.stderr


def test_a_file_that_is_no_graph_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / "x.nir").write_text("no graph")
    done = command(str(tmp_path / "x.nir"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
