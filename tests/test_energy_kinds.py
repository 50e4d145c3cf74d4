"""Every way of execution against figures made by hand, and published measurements reproduced by the model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from energy_cases import ANN, ONNX, SAMPLES, natural_neurons, small_counts, small_network
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from deploy.energy.amounts import exact, mean
from deploy.energy.ann_network import AnnLayer, AnnNetwork
from deploy.energy.assessment import BUSY, REAL_TIME, SPIKING, Assessment
from deploy.energy.bill import Bill, Charge, make_bill
from deploy.energy.break_even import operations_only
from deploy.energy.event_async import depth
from deploy.energy.event_cores import fit_network
from deploy.energy.model import assess
from deploy.energy.roofline import roofline_latency, work_bill
from deploy.energy.validation import validate
from deploy.energy.wording import term_name
from export.synaptic.counts import LayerCounts, NetworkCounts
from export.synaptic.natural import NaturalCounts
from export.synaptic.populations import Population, Projection, SynapseNetwork
from hardware_profiles.loader import LoadedProfile, builtin_ids, load_profile, parse_profile

CORES = [name for name in builtin_ids() if load_profile(name).profile.meta.platform == "event_cores"]
PROCESSORS = [name for name in builtin_ids() if load_profile(name).profile.meta.platform == "processor"]


def population(name: str, neurons: int, steps: int = 1, **more: object) -> LayerCounts:
    """One population in one recording, without activity unless stated."""
    values: dict[str, object] = {
        "layer": name, "kind": "lif", "synapses": neurons, "weights": neurons, "fan_in_max": 1, "weight_bits": 1,
    }  # fmt: skip
    counted = {"spikes": 0.0, "synops": 0.0, "active_updates": 0.0} | {
        key: more.pop(key) for key in ("spikes", "synops", "active_updates") if key in more
    }
    arrays = {key: np.array([float(value)]) for key, value in counted.items()}
    return LayerCounts(name=name, neurons=neurons, steps=steps, **(values | more), **arrays)


def network(*layers: LayerCounts, window_s: float = 1.0, latency: int = 0) -> NetworkCounts:
    steps = layers[0].steps
    edges = tuple(zip([layer.name for layer in layers[:-1]], [layer.name for layer in layers[1:]], strict=True))
    return NetworkCounts("n sha256:1", 1, steps - latency, steps, latency, window_s * 1e6, layers, edges)


def bill_of(assessment: Assessment, basis: str) -> Bill:
    (bill,) = [one.bill for one in assessment.scenarios if one.basis == basis and one.network == SPIKING]
    return bill


def edited(name: str, *changes: tuple[str, str]) -> LoadedProfile:
    loaded = load_profile(name)
    text = Path(loaded.path).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return LoadedProfile(parse_profile(text, name), loaded.path, "0")


# Published measurements, by the model


@pytest.mark.parametrize(("hertz", "milliwatts", "limit"), [(11.58, 68, 0.01), (20.07, 71, 0.01), (95.93, 94, 0.01)])
def test_truenorth_draws_the_power_that_was_measured(hertz: float, milliwatts: float, limit: float) -> None:
    """A million neurons with 128 synapses each for one second: joules are then watts."""
    neurons = 2**20
    counts = network(
        population("lif", neurons, steps=1000, synops=neurons * hertz * 128, synapses=neurons * 128, fan_in_max=128)
    )
    bill = bill_of(assess(load_profile("truenorth"), counts, []), REAL_TIME)
    assert bill.total.nominal == pytest.approx(64.43e-3 + 2.297e-12 * neurons * hertz * 128, rel=1e-6)
    assert bill.total.nominal == pytest.approx(milliwatts * 1e-3, rel=limit)
    assert bill.covered["energy.neuron_update_inactive"] == "power.static"


def test_odin_draws_the_power_that_was_measured() -> None:
    counts = network(population("lif", 256, synops=37.5e6, synapses=2**16, fan_in_max=256))
    assessment = assess(load_profile("odin"), counts, [])
    bill = bill_of(assessment, REAL_TIME)
    assert bill.total.nominal == pytest.approx(477e-6, rel=0.01)
    assert validate(assessment.profile).verdict == "reproduced"
    assert assessment.execution == "event_async"


@pytest.mark.parametrize("spikes", [667, 750])
def test_loihi_takes_the_energy_of_the_measured_query(spikes: int) -> None:
    """76,800 patterns, 1000 components, 60 steps (Frady et al. 2020): 1.33 mJ in the cores, to 25 % at the low end."""
    patterns, steps = 76_800, 60
    layer = population(
        "match", patterns, steps, synops=spikes * patterns, synapses=1000 * patterns, fan_in_max=1000, weight_bits=8
    )
    bill = bill_of(assess(load_profile("loihi1"), network(layer), []), BUSY)
    synops, updates = bill.of_term("energy.synop"), bill.of_term("energy.neuron_update_inactive")
    assert synops.low + updates.low == pytest.approx(spikes * patterns * 23.6e-12 + patterns * steps * 51.2e-12)
    assert synops.nominal == pytest.approx(spikes * patterns * 33.6e-12)
    assert synops.low + updates.low == pytest.approx(1.33e-3, rel=0.25)


# Fixed tick


def test_a_tick_lasts_whatever_there_is_to_do() -> None:
    counts = network(population("lif", 100, steps=12, synops=5), latency=4)
    latency = assess(load_profile("spinnaker1"), counts, []).latencies[SPIKING]
    assert latency.busy is not None
    assert latency.response is not None
    assert mean(latency.busy).corners == pytest.approx((12e-3,) * 3)
    assert mean(latency.response).nominal == pytest.approx(5e-3)
    assert latency.note == "12 steps: 8 + 4 to fill and drain"
    deep = assess(load_profile("spinnaker1"), replace(counts, depth=28), []).latencies[SPIKING]
    assert deep.busy is not None
    assert deep.response is not None
    assert mean(deep.busy).nominal == pytest.approx(40e-3)
    assert mean(deep.response).nominal == pytest.approx(33e-3)
    assert deep.note == "40 steps: 8 + 32 to fill and drain"


@pytest.mark.parametrize("name", CORES)
def test_only_machines_in_steps_bill_the_steps_of_the_pipeline(name: str) -> None:
    counts = network(population("lif", 10, steps=12, weight_bits=1))
    loaded = load_profile(name)
    stepped = loaded.profile.meta.execution in ("timestep_barrier", "fixed_tick")
    plain_rows, deep_rows = (assess(loaded, each, []).scenarios for each in (counts, replace(counts, depth=28)))
    for plain, deep in zip(plain_rows, deep_rows, strict=True):
        updates = [each.bill.count_of_term("energy.neuron_update_inactive") for each in (plain, deep)]
        if updates[0] is not None:
            assert [each.nominal for each in updates if each] == [120, 400 if stepped else 120]


def test_too_much_work_stretches_the_tick_and_says_so() -> None:
    """37.5 million synaptic operations a second on a chip: 150,000 in each of two steps take 4 ms."""
    counts = network(population("lif", 100, steps=2, synops=300_000))
    latency = assess(load_profile("spinnaker1"), counts, []).latencies[SPIKING]
    assert latency.busy is not None
    assert mean(latency.busy).nominal == pytest.approx(8e-3)
    assert latency.note == "the busiest chip needs 4.0 ms for a step: the tick stretches"


def test_the_busiest_core_can_be_slower_than_the_chip() -> None:
    """12 million a second on a core of SpiNNaker 2, 1800 million on the chip."""
    counts = network(population("lif", 100, steps=1, synops=60_000))
    latency = assess(load_profile("spinnaker2"), counts, []).latencies[SPIKING]
    assert latency.busy is not None
    assert mean(latency.busy).nominal == pytest.approx(5e-3)
    assert "busiest core" in latency.note


def test_without_a_published_tick_there_is_no_latency_but_a_bound_on_the_energy() -> None:
    assessment = assess(load_profile("xylo"), network(population("lif", 100, synops=1e6)), [])
    assert assessment.latencies[SPIKING].refused == "no source states how long a tick lasts"
    assert "latency: no source states how long a tick lasts" in map(str, assessment.refusals)
    bill = bill_of(assessment, REAL_TIME)
    assert bill.total.corners == pytest.approx((188e-6 + 35.7e-6, 188e-6 + 183.85e-6, 188e-6 + 332e-6))
    assert "energy.synop" in bill.unpriced


# Steps with a barrier, without prices


def test_loihi_2_is_a_lower_bound_of_its_standing_power() -> None:
    counts = network(population("lif", 100, synops=1e6, weight_bits=8), window_s=0.3)
    assessment = assess(load_profile("loihi2"), counts, [])
    latency = assessment.latencies[SPIKING]
    assert latency.untimed == ("synop", "neuron_update_inactive")
    real_time, busy = bill_of(assessment, REAL_TIME), bill_of(assessment, BUSY)
    static, io = (0.232, 0.25, 0.2818), (0.749, 1.56, 1.56)
    assert real_time.total.corners == pytest.approx([0.3 * sum(pair) for pair in zip(static, io, strict=True)])
    assert {"energy.synop", "energy.neuron_update_inactive"} <= set(real_time.unpriced)
    assert {"time.synop", "time.neuron_update_inactive"} <= set(busy.unpriced)


# Events


def layers_of_speck(synops: float) -> NetworkCounts:
    names = ("one", "two", "three")
    return network(*(population(name, 1000, synops=synops, weight_bits=8) for name in names), window_s=0.5)


def test_events_take_a_layer_time_per_layer() -> None:
    assessment = assess(load_profile("speck"), layers_of_speck(1e6), [])
    latency = assessment.latencies[SPIKING]
    assert latency.response is not None
    assert latency.busy is not None
    assert mean(latency.response).corners == pytest.approx((3 * 373e-9, 3 * 1.58e-6, 3 * 1.58e-6))
    assert mean(latency.busy).nominal == pytest.approx(1e6 / 30e6 + 3 * 1.58e-6)
    bill = bill_of(assessment, BUSY)
    assert bill.of_term("energy.synop").corners == pytest.approx((3e6 * 17e-12, 3e6 * 85e-12, 3e6 * 153e-12))
    assert bill.covered["energy.neuron_update_inactive"] == "energy.synop"


def test_a_saturated_core_is_refused() -> None:
    latency = assess(load_profile("speck"), layers_of_speck(6e7), []).latencies[SPIKING]
    assert latency.busy is None
    assert latency.refused.startswith("saturated: the busiest core gets 120 MSOP/s in the densest recording, it keeps")


@settings(deadline=None)
@given(st.integers(2, 6), st.data())
def test_depth_is_that_of_the_longest_path(size: int, data: st.DataObject) -> None:
    names = [f"p{index}" for index in range(size)]
    pairs = [(names[i], names[j]) for i in range(size) for j in range(i + 1, size)]
    edges = tuple(data.draw(st.lists(st.sampled_from(pairs), unique=True, min_size=1)))
    counts = replace(network(*(population(name, 3) for name in names)), edges=edges)

    def longest(name: str) -> int:
        return 1 + max((longest(source) for source, target in edges if target == name), default=0)

    assert depth(counts) == max(map(longest, names))


# Processors


def test_the_roofline_of_an_a100_by_hand() -> None:
    profile = load_profile("a100").profile
    computing = roofline_latency(profile, exact([1e12]), exact([1e6]))
    moving = roofline_latency(profile, exact([1e6]), exact([1e9]))
    assert computing.busy is not None
    assert moving.busy is not None
    assert computing.busy[1, 0] == pytest.approx(1e12 / 624e12)
    assert moving.busy[1, 0] == pytest.approx(1e9 / 2039e9)
    assert (computing.note, moving.note) == ("bound by its int8 arithmetic", "bound by its main memory")
    _, bill = work_bill(profile, exact([1e12]), exact([1e6]))
    assert bill.total.corners == pytest.approx([1e12 / 624e12 * watts for watts in (107, 120, 400)])
    assert bill.unpriced == ("utilisation",)
    assert bill.grade == "vendor"  # the power is measured, the rate is the vendor's


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(PROCESSORS), st.floats(1, 1e15), st.floats(1, 1e12), st.floats(1, 10))
def test_time_on_a_processor_is_the_longer_of_two_and_grows(name: str, ops: float, moved: float, more: float) -> None:
    profile = load_profile(name).profile
    both, arithmetic, memory = (
        roofline_latency(profile, exact([a]), exact([b])).busy for a, b in ((ops, moved), (ops, 1e-9), (1e-9, moved))
    )
    assert both is not None
    np.testing.assert_allclose(both, np.maximum(arithmetic, memory))
    larger = roofline_latency(profile, exact([ops * more]), exact([moved * more])).busy
    assert (larger >= both * (1 - 1e-12)).all()


def test_a_gpu_starts_layers_one_after_the_other() -> None:
    """A MAC takes no time beside the start of its layer, 10 to 12.4 us on an A100; activations start none."""
    idle = AnnLayer("relu", 0, 10, 0, 0, 10, 10)
    layers = [AnnLayer(name, 1000, 0, 0, 100, 10, 10) for name in ("a", "b", "c")]
    ann = AnnNetwork("ANN", "ann_twin_1", 1, 80, (*layers, idle))
    assessment = assess(load_profile("a100"), network(population("lif", 10)), [ann])
    latency = assessment.latencies["ANN"]
    assert latency.busy is not None
    assert mean(latency.busy).corners == pytest.approx((3 * 10e-6, 3 * 11.2e-6, 3 * 12.4e-6))
    assert latency.untimed == ()
    assert "3 layers" in latency.note
    (bill,) = [each.bill for each in assessment.scenarios if each.basis == BUSY]
    assert bill.complete
    assert bill.total.nominal == pytest.approx(3 * 11.2e-6 * 120)


def test_an_ann_on_spinnaker_2_runs_on_its_arithmetic_units() -> None:
    """1e8 MACs of 1e6 weights: 2e8 operations at 0.47 to 1.46 Top/s, 1 MB at 6.4 GB/s, all at 0.58 to 0.8 W."""
    ann = AnnNetwork("ANN", "ann_twin_1", 1, 8000, (AnnLayer("conv", 10**8, 0, 0, 10**6, 0, 0),))
    assessment = assess(load_profile("spinnaker2"), network(population("lif", 10, steps=4, synops=5)), [ann])
    latency = assessment.latencies["ANN"]
    assert latency.busy is not None
    assert mean(latency.busy).corners == pytest.approx((2e8 / 1459e9, 2e8 / 598e9, 2e8 / 467e9))
    assert mean(latency.busy).nominal > 1e6 / 6.4e9
    (bill,) = [each.bill for each in assessment.scenarios if each.network == "ANN" and each.basis == BUSY]
    assert bill.total.corners == pytest.approx((0.58 * 2e8 / 1459e9, 0.69 * 2e8 / 598e9, 0.8 * 2e8 / 467e9))
    assert bill.complete
    assert not any(refusal.subject == "ANN" for refusal in assessment.refusals)


def test_an_ann_on_cores_without_known_arithmetic_is_refused() -> None:
    for name, reason in (("loihi1", "no multiply-accumulate"), ("tianjic", "nobody has published")):
        assessment = assess(load_profile(name), network(population("lif", 10, weight_bits=1)), [ANN])
        assert "ANN" not in assessment.latencies
        assert any("ANN" in str(refusal) and reason in str(refusal) for refusal in assessment.refusals)


def as_onnx(neurons: int = 10, **more: int) -> NetworkCounts:
    """A network whose ONNX graph does ``more``."""
    work = ONNX.model_copy(update=more)
    natural = NaturalCounts((), (natural_neurons("lif", np.zeros(1), neurons, state_bits=19),), work, 0)
    return replace(network(population("lif", neurons)), natural=natural)


def test_a_processor_is_billed_for_the_onnx_graph() -> None:
    """Two operations per multiply-accumulate and one for each other; of fp32 there are 4 bytes to everything moved."""
    counts = as_onnx(macs=10**8, operations=10**6, weights=10**6, input_bytes=5000, values_moved=10**9)
    latency = assess(load_profile("x86_cpu"), counts, []).latencies[SPIKING]
    assert latency.busy is not None
    computing, moving = (2e8 + 1e6) / 4.096e12, (5000 + 4e6 + 4e9) / 204.8e9
    assert mean(latency.busy).corners == pytest.approx((computing, computing, moving))
    lowered = replace(counts, natural=None)
    refusals = assess(load_profile("x86_cpu"), lowered, []).refusals
    assert str(refusals[0]).startswith("SNN: only counts of the lowered graph")


def test_a_network_too_large_for_a_microcontroller_says_by_how_much() -> None:
    assessment = assess(load_profile("cortex_m4"), as_onnx(neurons=200_000, weights=2_000_000), [ANN])
    assert str(assessment.refusals[0]) == (
        "SNN: does not fit: weight memory bytes: needs 2,000,000, has 1,048,576; "
        "working memory bytes: needs 600,000, has 393,216"
    )
    assert [scenario.network for scenario in assessment.scenarios] == ["ANN"]


def test_idle_power_fills_the_window() -> None:
    power = '[[power.static]]\nvalue = 50\nunit = "W"\nkind = "assumed"\nscope = "per_term"\nsource = "nvidia_a100"\n\n'
    loaded = edited("a100", ("[[power.busy]]\nvalue = 107", power + "[[power.busy]]\nvalue = 107"))
    assessment = assess(loaded, replace(as_onnx(), window_us=0.3e6), [])
    bill = bill_of(assessment, REAL_TIME)
    assert bill.of_term("power.static").nominal == pytest.approx(50 * 0.3, rel=1e-6)
    (refusal,) = assess(load_profile("a100"), as_onnx(), []).refusals
    assert str(refusal) == "chip on for the whole window: no source states its idle power"


# Limits


def test_all_broken_limits_are_named_at_once() -> None:
    wide = population("wide", 600_000, synapses=180_000_000, fan_in_max=300, weight_bits=8)
    assessment = assess(load_profile("odin"), network(wide), [ANN])
    assert assessment.scenarios == ()
    for clause in (
        "bits per weight: needs 8, has 3",
        "fan-in of a neuron: needs 300, has 256",
        "cores of 1 chip: needs 2,747, has 1",  # 180e6 synapses of 4 bits on cores of 32 KB; the neurons need 2,344
    ):
        assert clause in str(assessment.refusals[0])
    needs = {check.limit: (check.needed, check.has, check.where) for check in assessment.refusals[0].limits}
    assert needs["fan-in of a neuron"] == (300, 256, "wide")
    assert str(assessment.refusals[1]) == "ANN: the platform has no multiply-accumulate on activations"


def test_more_populations_than_cores_that_hold_one_each() -> None:
    layers = [population(f"p{index}", 10) for index in range(10)]
    assert "populations: needs 10, has 9" in str(assess(load_profile("speck"), network(*layers), []).refusals[0])
    large = population("large", 70_000, weights=10)
    refusal = assess(load_profile("speck"), network(large), []).refusals[0]
    assert "neurons per core: needs 70,000, has 65,536" in str(refusal)


def test_a_platform_that_does_not_say_what_a_core_holds() -> None:
    assessment = assess(load_profile("akida"), network(population("lif", 10)), [])
    missing = "neurons per core, synapse bytes per core, synapse bits"
    assert list(map(str, assessment.refusals)) == [f"SNN: cannot be placed: no source states {missing}"]


def test_products_of_activations_need_a_platform_that_forms_them() -> None:
    products = {"ands": np.array([70.0]), "adds": np.array([30.0])}
    counts = network(population("attention", 10, kind="attention", **products))
    assert "products of two activations" in str(assess(load_profile("loihi1"), counts, []).refusals[0])
    bill = bill_of(assess(load_profile("spinnaker1"), counts, []), BUSY)
    assert "energy.and_popcount" in bill.unpriced
    assert bill.of_term("energy.synop").low == pytest.approx(30 * 8e-9)


def test_float_weights_fit_nowhere_on_narrow_synapses() -> None:
    fit = fit_network(load_profile("loihi1").profile, network(population("lif", 10, weight_bits=32)))
    assert [check.excess for check in fit.broken] == ["bits per weight: needs 32, has 9"]


# All platforms


@pytest.mark.parametrize("name", builtin_ids())
def test_every_platform_gives_a_figure_or_a_reason(name: str) -> None:
    assessment = assess(load_profile(name), small_counts(), [ANN])
    assert assessment.scenarios or assessment.refusals
    for scenario in assessment.scenarios:
        low, nominal, high = scenario.bill.total.corners
        assert 0 < low <= nominal <= high
        assert scenario.bill.complete == (not scenario.bill.unpriced)
        assert all(term_name(assessment.profile, term) for term in (*scenario.bill.prices, *scenario.bill.unpriced))
    for latency in assessment.latencies.values():
        assert (latency.busy is None) == bool(latency.refused)
        assert latency.kind is not None or latency.refused
    assert all("\n" not in str(refusal) for refusal in assessment.refusals)
    assert assessment.complete == (
        bool(assessment.scenarios) and not any(s.bill.unpriced for s in assessment.scenarios)
    )
    assert all(check.remedy for refusal in assessment.refusals for check in refusal.limits)


@pytest.mark.parametrize("name", CORES)
def test_a_network_without_activity_costs_no_synaptic_energy(name: str) -> None:
    still = population("still", 10, weight_bits=1)
    for scenario in assess(load_profile(name), network(still), []).scenarios:
        assert scenario.bill.of_term("energy.synop").high == 0
        assert "energy.synop" not in scenario.bill.unpriced


# Prices that hold others


def test_what_a_price_holds_is_not_charged_twice() -> None:
    profile = load_profile("spinnaker1").profile
    synop = Charge("synaptic operations", "x", "energy.synop", exact([1e6]))
    hop = Charge("spike traffic", "x", "energy.hop", exact([1e6]))
    together = make_bill(profile, [synop, hop])
    assert together.total == make_bill(profile, [synop]).total
    assert together.covered == {"energy.hop": "energy.synop"}
    assert together.complete
    assert make_bill(profile, [hop]).unpriced == ("energy.hop",)


# ANNs


def test_skipped_zeros_and_narrow_activations_by_hand() -> None:
    from deploy.energy.accelerator import ann_charges

    profile = load_profile("cmos_45nm").profile
    sparse_ann = replace(ANN, density={"conv": 0.25}, activation_bits=4, input_bits=0)
    bill = make_bill(profile, ann_charges(profile, sparse_ann, "step by step"))
    assert bill.count_of_term("energy.mac_int8").nominal == 250_000
    moved = 4000 * 0.25 * 4 + 1000 * 4 + 4000  # a quarter of the inputs, all outputs, a bit per input
    assert bill.count_of_term("memory.sram_8kb").nominal == pytest.approx(moved / 64)
    assert bill.count_of_term("memory.sram_32kb").nominal == pytest.approx(20_000 * 8 / 64)


def test_operations_alone_break_even_at_the_ratio_of_their_prices() -> None:
    band = operations_only(load_profile("cmos_45nm").profile)
    assert band is not None
    assert band.nominal == pytest.approx(3.0)
    halved = operations_only(load_profile("cmos_7nm").profile, density=0.5)
    assert halved is not None
    assert halved.nominal == pytest.approx(0.5 * 0.10 / 0.03)
    assert operations_only(load_profile("loihi1").profile) is None


# Counted traffic


def synapses_of_the_small_network() -> SynapseNetwork:
    populations = [Population("input", "input", "input", (12,))]
    projections = []
    for each in small_network():
        populations.append(Population(each.name, each.layer, each.kind, (len(each.weights),)))
        source = populations[-2].name
        projections.append(Projection(source, each.name, sparse.csr_matrix(each.weights.astype(float)), (each.name,)))
    return SynapseNetwork(tuple(populations), tuple(projections))


def test_with_its_synapses_the_traffic_of_a_network_is_counted() -> None:
    """One core: a packet per spike of a neuron that has a target, whatever the number of its synapses."""
    counts = small_counts()
    rng = np.random.default_rng(0)
    layers = []
    for layer in counts.layers:
        shares = rng.multinomial(int(layer.spikes.sum()), np.full(layer.neurons, 1 / layer.neurons))
        layers.append(replace(layer, neuron_spikes=shares.astype(float)))
    counts = replace(counts, layers=tuple(layers))
    bill = bill_of(assess(load_profile("loihi1"), counts, [], synapses_of_the_small_network()), BUSY)
    expected = 0.0
    for source, target in zip(counts.layers[:-1], small_network(), strict=True):
        has_target = np.count_nonzero(target.weights, axis=0) > 0
        expected += float(source.neuron_spikes[has_target].sum()) / SAMPLES
    assert bill.count_of_term("energy.packet").nominal == pytest.approx(expected)
    assert bill.complete
