"""Counts, placement, bills, latency and break-even, against hand-made figures and plain loops."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from energy_cases import (
    ANN,
    LATENCY,
    ONNX,
    SAMPLES,
    STEPS,
    TIME_STEPS,
    natural_map,
    natural_neurons,
    small_counts,
    small_network,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.energy.accelerator import ann_charges, spiking_charges
from deploy.energy.amounts import exact, mean
from deploy.energy.ann_network import AnnLayer, AnnNetwork
from deploy.energy.assessment import BUSY, REAL_TIME, SPIKING, Assessment
from deploy.energy.bill import Bill, Charge, make_bill, price_of
from deploy.energy.break_even import break_even
from deploy.energy.clocked import clocked_latency
from deploy.energy.mapping.traffic import bounded_traffic
from deploy.energy.mapping.uniform import place_counts
from deploy.energy.model import assess, paper_style
from deploy.energy.timestep_barrier import barrier_latency
from deploy.energy.wording import band, si, two_figures
from export.synaptic.counts import LayerCounts, NetworkCounts, network_id
from export.synaptic.natural import NaturalCounts
from hardware_profiles.loader import LoadedProfile, load_profile, parse_profile
from hardware_profiles.schema import Profile
from spikinghash.errors import GraphError

LOIHI, CMOS = load_profile("loihi1"), load_profile("cmos_45nm")
PICO = 1e-12


def population(
    name: str = "lif", neurons: int = 8, synops: float = 0.0, active: float = 0.0, spikes: float = 0.0, **more: object
) -> LayerCounts:
    """A population with the same counts in each of two recordings."""
    values = {"layer": name, "kind": "lif", "synapses": neurons, "weights": neurons, "fan_in_max": 1, "steps": 4} | more
    pair = {"spikes": spikes, "synops": synops, "active_updates": active}
    return LayerCounts(
        name=name, neurons=neurons, **values, **{key: np.full(2, float(value)) for key, value in pair.items()}
    )


def network(
    *layers: LayerCounts, window_us: float = 25_000.0, edges: tuple[tuple[str, str], ...] = ()
) -> NetworkCounts:
    return NetworkCounts("n sha256:1", 2, 4, 4, 0, window_us, layers, edges)


def bill_of(assessment: Assessment, basis: str) -> Bill:
    (bill,) = [s.bill for s in assessment.scenarios if s.network == SPIKING and s.basis == basis]
    return bill


# Counts


def test_counts_survive_json() -> None:
    counts = small_counts()
    again = NetworkCounts.from_json(counts.to_json())
    assert again.to_json() == counts.to_json()
    assert [layer.name for layer in again.layers] == ["input", "stem_lif", "stem_delay", "head_lif"]
    for one, other in zip(counts.layers, again.layers, strict=True):
        np.testing.assert_array_equal(one.synops, other.synops)
    np.testing.assert_array_equal(counts.natural.synops, again.natural.synops)
    assert [each.neurons for each in again.natural.neurons] == [each.neurons for each in counts.natural.neurons]


def test_counts_of_another_network_are_refused(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.nir", tmp_path / "other.nir"
    mine.write_bytes(b"one")
    other.write_bytes(b"two")
    counts = replace(small_counts(), network=network_id(mine))
    counts.require_network(mine)
    copy = tmp_path / "copy.nir"
    copy.write_bytes(b"one")
    counts.require_network(copy)
    with pytest.raises(GraphError, match=r"traced from mine\.nir .* but the network is other\.nir"):
        counts.require_network(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("depth"), "'depth' is missing"),
        (lambda v: v.pop("steps"), "not a trace"),
        (lambda v: v.pop("layers"), "'layers' is missing"),
        (lambda v: v["layers"][1].pop("synops"), "'synops' is missing"),
        (lambda v: v["layers"][1]["synops"].pop(), "synops has shape"),
        (lambda v: v["layers"][1]["synops"].__setitem__(0, -1), "negative"),
        (lambda v: v["layers"][1]["spikes"].__setitem__(0, 1e9), "exceeds 8 neurons x 5 steps"),
        (lambda v: v["layers"][1].update(kind="magic"), "kind is magic"),
        (lambda v: v["layers"][1].update(neurons=0), "must be positive"),
        (lambda v: v["layers"][1].update(fan_in_max=1), "synapses, but"),
        (lambda v: v.update(window_us=0), "window_us is 0"),
        (lambda v: v["edges"].append(["stem_lif", "nowhere"]), "nowhere"),
        (lambda v: v["natural"].pop("onnx"), "natural: 'onnx': trace"),
        (lambda v: v["natural"]["maps"][0]["synops"].pop(), "natural: not 6 counts"),
        (lambda v: v["natural"]["neurons"][0]["neurons"].pop("state_bits"), "natural: .*: trace"),
    ],
)
def test_broken_counts_are_refused(change: object, message: str) -> None:
    values = json.loads(small_counts().to_json())
    change(values)
    with pytest.raises(GraphError, match=message) as caught:
        NetworkCounts.from_json(json.dumps(values), "c.json")
    assert str(caught.value).startswith("c.json: ")


def test_counts_that_are_no_json_name_the_line() -> None:
    with pytest.raises(GraphError, match=r"^c\.json:2: not JSON"):
        NetworkCounts.from_json("{\n!", "c.json")


# Event-driven cores


def test_worked_example_5e6_synops_on_two_chips() -> None:
    """5e6 SOP, 2e5 neurons, T = 4, two chips, 25 ms: 0.118 to 0.178 mJ, 0.041 to 0.042 mJ idle, 5.2 mJ static."""
    layer = population(neurons=200_000, synops=5e6)
    assessment = assess(LOIHI, network(layer), [])
    assert assessment.fit is not None
    assert assessment.fit.placement is not None
    assert assessment.fit.placement.chips == 2
    bill = bill_of(assessment, REAL_TIME)
    assert bill.of_term("energy.synop").corners == pytest.approx((0.118e-3, 0.168e-3, 0.1775e-3))
    assert bill.of_term("energy.neuron_update_inactive").corners == pytest.approx(
        [8e5 * price * PICO for price in (51.2, 51.2, 52)]
    )
    assert bill.of_term("power.static").corners == pytest.approx([2 * 0.1044 * 0.025] * 3)
    assert bill.of_term("energy.reset").nominal == pytest.approx(2 * 5.94e-6)


def test_links_between_chips_have_no_price_so_there_is_no_total() -> None:
    one = population("a", neurons=1000, synops=5e3, spikes=100)
    two = population("b", neurons=200_000, synops=5e6, spikes=100)
    single = bill_of(assess(LOIHI, network(one), []), BUSY)
    double = bill_of(assess(LOIHI, network(one, two), []), BUSY)
    assert single.complete
    assert double.unpriced == ("energy.chip_crossing",)
    assert not double.complete


def test_bill_of_the_small_network_against_a_plain_sum() -> None:
    counts = small_counts()
    bill = bill_of(assess(LOIHI, counts, []), BUSY)
    dynamic = 0.0
    for layer in counts.layers[1:]:
        for sample in range(SAMPLES):
            idle = layer.neurons * STEPS - layer.active_updates[sample]
            dynamic += 33.6 * layer.synops[sample] + 72.8 * layer.active_updates[sample] + 51.2 * idle
            dynamic += 69.3 * layer.spikes[sample]
    # All populations share one core: a packet per spike of the source, as long as it has a synapse there.
    sources = dict(zip([layer.name for layer in counts.layers[1:]], counts.layers[:-1], strict=True))
    packets = sum(
        min(layer.synops[sample], sources[layer.name].spikes[sample])
        for layer in counts.layers[1:]
        for sample in range(SAMPLES)
    )
    dynamic += 111 * packets
    priced = bill.energy(lambda line: line.charge.part not in ("standing power", "reset"))
    assert mean(priced).nominal == pytest.approx(dynamic / SAMPLES * PICO)


def test_latency_of_the_small_network_against_a_plain_sum() -> None:
    """On one core whose populations all see the recording in the same steps, the longer of two phases counts."""
    counts = small_counts()
    latency = assess(LOIHI, counts, []).latencies[SPIKING]
    assert latency.busy is not None
    assert latency.response is not None
    for sample in range(SAMPLES):
        sending = receiving = 0.0
        for source, layer in zip(counts.layers[:-1], counts.layers[1:], strict=True):
            idle = layer.neurons * STEPS - layer.active_updates[sample]
            packets = min(layer.synops[sample], source.spikes[sample])
            # The strongest kind is nominal; of several, the median: synop 3.1, 3.8, 4.7.
            sending += 9.7 * layer.active_updates[sample] + 6.0 * idle + 30 * layer.spikes[sample]
            sending += 5.1 * packets * (source.kind != "input")
            receiving += 3.8 * layer.synops[sample] + 16 * packets
        nominal = max(sending, receiving) + STEPS * 600.0  # barrier of one tile, fitted
        assert latency.busy[1, sample] == pytest.approx(nominal * 1e-9)
        assert latency.response[1, sample] == pytest.approx(nominal * 1e-9 * (LATENCY + 1) / STEPS)


def test_every_step_is_as_long_as_its_busiest_core_against_loops() -> None:
    """Cores of four neurons, populations that lag behind one another, one that bunches: loops over steps and cores."""
    stated = LOIHI.profile.limits
    limits = stated.model_copy(
        update={
            "neurons_per_core": stated.neurons_per_core.model_copy(update={"value": 4}),
            "mesh_rows": None,
        }
    )
    profile = LOIHI.profile.model_copy(update={"limits": limits})
    plain = small_counts()
    lags = {"input": 0, "stem_lif": 1, "stem_delay": 1, "head_lif": 2}
    bunched = {"stem_lif": np.array([0.0, 7.0, 1.0, 2.0, 0.0])}
    layers = [replace(layer, lag=lags[layer.name], step_spikes=bunched.get(layer.name)) for layer in plain.layers]
    counts = replace(plain, layers=tuple(layers), depth=3)
    placement = place_counts(counts.layers, profile).placement
    assert placement is not None
    assert placement.cores == 6
    traffic = bounded_traffic(counts, placement)
    latency = barrier_latency(profile, counts, placement, traffic)
    received, sent, synops = (each.amount[1] for each in (traffic.received, traffic.sent, traffic.synops))
    held = np.vstack([np.zeros(6), placement.held])
    for sample in range(SAMPLES):
        lengths = []
        for step in range(STEPS + 3):
            cores = []
            for core in range(6):
                sending, receiving = 6.0 * held[:, core].sum(), 0.0
                for index, layer in enumerate(layers):
                    if not layer.lag <= step < layer.lag + STEPS:
                        continue
                    even = np.full(STEPS, 1 / STEPS)
                    part = (bunched[layer.name] / 10 if layer.name in bunched else even)[step - layer.lag]
                    here = held[index, core] / layer.neurons * part
                    sending += (9.7 - 6.0) * layer.active_updates[sample] * here + 30 * layer.spikes[sample] * here
                    sending += 5.1 * sent[sample, index] * traffic.sent.share[index, core] * part
                    receiving += (16 * received[sample, index] + 3.8 * synops[sample, index]) * here
                cores.append(max(sending, receiving))
            lengths.append(max(cores) + 1000.0)  # two tiles
        assert latency.busy is not None
        assert latency.response is not None
        assert latency.busy[1, sample] == pytest.approx(sum(lengths) * 1e-9)
        assert latency.response[1, sample] == pytest.approx(sum(lengths[TIME_STEPS - 1 :]) * 1e-9)
    assert (latency.steps, latency.note) == (8, "8 steps: 4 + 4 to fill and drain")


def test_steps_that_fill_and_drain_cost_updates_and_time_but_no_spikes() -> None:
    plain = network(population(neurons=1000, synops=5e4, active=500, spikes=100))
    deep = replace(plain, depth=7)
    (short, long), (quick, late) = (
        [bill_of(assess(LOIHI, counts, []), BUSY) for counts in (plain, deep)],
        [assess(LOIHI, counts, []).latencies[SPIKING] for counts in (plain, deep)],
    )
    for term in ("energy.synop", "energy.spike_out", "energy.neuron_update_active"):
        assert long.of_term(term) == short.of_term(term)
    idle = [bill.of_term("energy.neuron_update_inactive").nominal for bill in (short, long)]
    assert idle[1] - idle[0] == pytest.approx(7 * 1000 * 51.2 * PICO)
    assert quick.response is not None
    assert late.response is not None
    assert late.busy is not None
    assert late.response[1, 0] == pytest.approx(late.busy[1, 0] - 3 * (quick.response[1, 0]), rel=1e-9)


@pytest.mark.parametrize(("neurons_per_core", "step"), [(10, 5.8e-6), (1024, 1024 * 6e-9 + 0.465e-6)])
def test_a_measured_step_is_not_billed_beside_its_own_work(neurons_per_core: int, step: float) -> None:
    """What was measured at 32 chips is a whole step: it bounds work and barrier together from below."""
    stated = LOIHI.profile.limits.neurons_per_core
    limits = LOIHI.profile.limits.model_copy(
        update={"neurons_per_core": stated.model_copy(update={"value": neurons_per_core})}
    )
    loaded = replace(LOIHI, profile=LOIHI.profile.model_copy(update={"limits": limits}))
    assessment = assess(loaded, network(population(neurons=160 * neurons_per_core, synapses=1)), [])
    assert assessment.fit is not None
    assert assessment.fit.placement is not None
    assert assessment.fit.placement.tiles == 40
    busy = assessment.latencies[SPIKING].busy
    assert busy is not None
    assert busy[1, 0] == pytest.approx(4 * step)


def test_the_busiest_core_sets_the_pace() -> None:
    busy = population("busy", neurons=1024, synops=1e6)
    calm = population("calm", neurons=1024, synops=10)
    alone, together = (assess(LOIHI, network(*layers), []).latencies[SPIKING] for layers in ((busy,), (busy, calm)))
    assert alone.busy is not None
    assert together.busy is not None
    np.testing.assert_allclose(alone.busy, together.busy)


def test_a_term_without_a_time_makes_the_latency_a_lower_bound() -> None:
    profile = LOIHI.profile.model_copy(update={"time": {k: v for k, v in LOIHI.profile.time.items() if k != "synop"}})
    counts = small_counts()
    placement = place_counts(counts.layers, profile).placement
    assert placement is not None
    latency = barrier_latency(profile, counts, placement, bounded_traffic(counts, placement))
    assert latency.untimed == ("synop",)


# Placement


def test_a_network_that_does_not_fit_says_which_limit_broke_and_gets_no_energy() -> None:
    wide = population("wide", neurons=10, fan_in_max=5000, synapses=50_000)
    assessment = assess(LOIHI, network(wide), [])
    assert assessment.scenarios == ()
    assert "input axons per core: needs 5,000, has 4,096" in str(assessment.refusals[0])
    huge = population("huge", neurons=98_304 * 1024 + 1)
    assert "cores of 768 chips: needs 98,305, has 98,304" in str(assess(LOIHI, network(huge), []).refusals[0])


def test_axons_of_whole_cores_stay_unchecked() -> None:
    fits = place_counts(small_counts().layers, LOIHI.profile)
    assert fits.verdict == "unchecked"
    assert {check.limit for check in fits.checks if check.fits == "unchecked"} == {
        "input axons per core, all neurons",
        "output axons per core",
    }


sizes = st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 3000)), min_size=1, max_size=6)


@settings(deadline=None)
@given(sizes)
def test_placement_puts_every_neuron_on_a_core_with_room(populations: list[tuple[int, int]]) -> None:
    layers = [
        population(f"p{i}", neurons=n, synapses=n * fan, fan_in_max=fan) for i, (n, fan) in enumerate(populations)
    ]
    placement = place_counts(layers, LOIHI.profile).placement
    assert placement is not None
    neurons = placement.held
    assert neurons.sum(axis=1).tolist() == [layer.neurons for layer in layers]
    assert (neurons.sum(axis=0) <= 1024).all()
    synapse_bytes = (neurons * np.array([[fan * 9 / 8] for _, fan in populations])).sum(axis=0)
    assert (synapse_bytes <= 131072 + 1e-6).all()
    np.testing.assert_allclose(placement.synapse_bytes, synapse_bytes)
    total_bytes = sum(layer.synapses for layer in layers) * 9 / 8
    least = max(math.ceil(sum(layer.neurons for layer in layers) / 1024), math.ceil(total_bytes / 131072))
    assert placement.cores >= least
    assert (neurons.sum(axis=0) > 0).all()


def test_the_input_takes_no_core() -> None:
    placement = place_counts(small_counts().layers, LOIHI.profile).placement
    assert placement is not None
    assert placement.populations == ("stem_lif", "stem_delay", "head_lif")
    assert placement.cores == 1
    assert placement.mean_hops == placement.max_hops == 0


def test_mean_distance_on_the_mesh_against_brute_force() -> None:
    placement = place_counts([population(neurons=128 * 1024)], LOIHI.profile).placement
    assert placement is not None
    tiles = [(x, y) for x in range(8) for y in range(4)]
    distances = [abs(a - c) + abs(b - d) for a, b in tiles for c, d in tiles]
    assert placement.mean_hops == pytest.approx(np.mean(distances))
    assert placement.max_hops == max(distances)


@settings(deadline=None)
@given(st.integers(1, 9000), st.integers(0, 500), st.floats(0, 1), st.booleans())
def test_traffic_is_bounded_by_one_packet_per_spike_and_core(
    neurons: int, spikes: int, part: float, known: bool
) -> None:
    source = population("a", neurons=500, spikes=spikes)
    target = population("b", neurons=neurons, synops=round(part * spikes * neurons))
    counts = network(source, target, edges=(("a", "b"),) if known else ())
    placement = place_counts(counts.layers, LOIHI.profile).placement
    assert placement is not None
    traffic = bounded_traffic(counts, placement)
    assert not traffic.packets["a"].any()
    low, nominal, high = traffic.packets["b"][:, 0]
    assert 0 <= low <= nominal <= high <= spikes * placement.cores_of("b")
    assert low * 1024 >= target.synops[0] - 1e-6 or low == high
    assert traffic.hops is not None
    for amount in (traffic.hops["b"], traffic.crossings["b"]):
        assert (np.diff(amount, axis=0) >= -1e-9).all()
    for events in (traffic.received, traffic.sent):
        assert (events.on_cores().sum(axis=2) <= traffic.packets["b"] + 1e-6).all()


# Accelerators


def natural(neurons: int = 8, synops: float = 0.0, spikes: float = 0.0, **more: int) -> NaturalCounts:
    """One map onto one population, with the same counts in each of two recordings."""
    of_map = {key: more.pop(key) for key in ("weights", "weight_bits") if key in more}
    one = natural_map("lif", np.full(2, synops), np.ones(neurons, np.int64), **of_map)
    return NaturalCounts((one,), (natural_neurons("lif", np.full(2, spikes), neurons, **more),), ONNX, 96)


def one_synop(profile: Profile, kilobytes: float) -> tuple[float, float, float]:
    """Energy per synaptic operation when weights of 8 and potentials of 16 bits each fill ``kilobytes``."""
    items = int(kilobytes * 1024)
    counts = natural(neurons=items // 2, weights=items, synops=1000.0)
    bill = make_bill(profile, spiking_charges(profile, counts, 4, "per operation"))
    low, nominal, high = bill.of_part("synaptic operations").corners
    return low / 1000, nominal / 1000, high / 1000


@pytest.mark.parametrize(("kilobytes", "packed", "whole"), [(8, 6.4, 30), (32, 12.6, 60), (1024, 62.6, 300)])
def test_memory_dominates_a_synaptic_operation(kilobytes: float, packed: float, whole: float) -> None:
    low, nominal, high = one_synop(CMOS.profile, kilobytes)
    assert nominal / PICO == pytest.approx(packed, abs=0.06)
    assert low == nominal
    assert high / PICO == pytest.approx(whole + 0.1)


@pytest.mark.parametrize(("kilobytes", "expected", "ratio"), [(8, 2.8, 0.44), (32, 5.3, 0.42), (1024, 25.3, 0.40)])
def test_an_int8_mac_with_its_memory_and_the_break_even(kilobytes: float, expected: float, ratio: float) -> None:
    items = int(kilobytes * 1024)
    layer = AnnLayer("layer", macs=1000, adds=0, multiplies=0, weights=items, inputs=items, outputs=0)
    charges = ann_charges(CMOS.profile, AnnNetwork("one layer", "ann_twin_1", 1, 0, (layer,)), "per operation")
    mac = make_bill(CMOS.profile, charges).total.nominal / 1000
    assert mac / PICO == pytest.approx(expected, abs=0.06)
    assert mac / one_synop(CMOS.profile, kilobytes)[1] == pytest.approx(ratio, abs=0.01)


def test_buffers_that_outgrow_the_sram_go_to_dram() -> None:
    counts = natural(neurons=10, weights=2 * 1024 * 1024, synops=1.0)
    charges = [each for each in spiking_charges(CMOS.profile, counts, 4, "per operation") if each.part != "input"]
    assert {charge.term for charge in charges if charge.count.any()} == {
        "energy.ac_int32", "memory.dram", "memory.sram_8kb",
    }  # fmt: skip


@pytest.mark.parametrize("schedule", ["all steps", "step by step"])
def test_data_moved_once_against_a_plain_sum(schedule: str) -> None:
    """Step by step, weights of 3 bits come and potentials of 11 bits come and go in each of four steps."""
    counts = small_counts()
    bill = make_bill(CMOS.profile, spiking_charges(CMOS.profile, counts.natural, TIME_STEPS, schedule))
    steps = TIME_STEPS if schedule == "step by step" else 1
    expected = 20.3 * 12 * TIME_STEPS  # input bits
    for each in (small_network()[0], small_network()[2]):
        (layer,) = (layer for layer in counts.layers if layer.name == each.name)
        updates = len(each.weights) * TIME_STEPS
        bits = 3 * np.count_nonzero(each.weights) * steps + 2 * updates
        bits += 2 * 11 * updates if schedule == "step by step" else 0
        expected += 10 * bits / 64 + 0.1 * (float(layer.synops.mean()) + 2 * updates)
    assert bill.total.corners == pytest.approx([expected * PICO] * 3)


def test_streams_biases_and_scales_by_hand() -> None:
    """A population of 64 neurons that reads and writes a stream of 9 bits, adds a bias and scales, in four steps."""
    counts = natural(neurons=64, current_bits=9, stream_accesses=2, adds=2, multiplies=1)
    bill = make_bill(CMOS.profile, spiking_charges(CMOS.profile, counts, 4, "all steps"))
    updates = 64 * 4
    assert bill.count_of_term("energy.ac_int32").nominal == (2 + 2) * updates
    assert bill.count_of_term("energy.mul_int32").nominal == updates
    words = (64 * 8 + 2 * 9 * updates + 2 * updates) / 64  # weights once, the stream, spikes written and read
    assert bill.count_of_term("memory.sram_8kb").nominal == pytest.approx(words)
    stepped = make_bill(CMOS.profile, spiking_charges(CMOS.profile, counts, 4, "step by step"))
    more = (3 * 64 * 8 + 2 * 16 * updates) / 64
    assert stepped.count_of_term("memory.sram_8kb").nominal == pytest.approx(words + more)


def test_both_networks_fetch_their_weights_by_the_same_schedule() -> None:
    """A map of 4,096 bytes of weights on 4 frames is fetched four times a step at a time, and once else."""
    layer = AnnLayer("layer", macs=0, adds=0, multiplies=0, weights=4096, inputs=0, outputs=0)
    ann = AnnNetwork("ANN", "ann_twin_t", 4, 0, (layer,))
    spiking = natural(neurons=8, weights=4096)
    for schedule, fetches in (("all steps", 1), ("step by step", 4)):
        own = [each for each in spiking_charges(CMOS.profile, spiking, 4, schedule) if each.layer == "lif_map"]
        other = make_bill(CMOS.profile, ann_charges(CMOS.profile, ann, schedule))
        assert make_bill(CMOS.profile, own).count_of_term("memory.sram_8kb").nominal == fetches * 512
        assert other.count_of_term("memory.sram_8kb").nominal == fetches * 512


def test_without_the_encoder_as_it_was_an_accelerator_has_no_figure_of_it() -> None:
    assessment = assess(CMOS, replace(small_counts(), natural=None), [ANN])
    assert {scenario.network for scenario in assessment.scenarios} == {ANN.label}
    assert str(assessment.refusals[-1]).startswith("SNN: only counts of the lowered graph are known: export")


def test_unpublished_static_power_leaves_a_lower_bound_and_no_latency() -> None:
    assessment = assess(CMOS, small_counts(), [])
    assert list(map(str, assessment.refusals)) == ["latency: no source states its clock and its operations per cycle"]
    assert [scenario.bill.unpriced for scenario in assessment.scenarios] == [("power.static",)] * 3


def clocked_profile() -> Profile:
    text = (
        Path(CMOS.path)
        .read_text()
        .replace("[support]", '[limits]\nlanes = { value = 100, source = "jouppi2021" }\n\n[support]')
    )
    estimate = 'kind = "assumed"\nscope = "per_term"\nsource = "jouppi2021"\n'
    cycle, static = (f"[[{term}]]\nvalue = {value}\n{estimate}" for term, value in CLOCK.items())
    return parse_profile(f"{text}\n{cycle}{static}", "clocked")


CLOCK = {"time.cycle": '1\nunit = "ns"', "power.static": '10\nunit = "mW"'}


def test_a_clocked_platform_with_clock_lanes_and_static_power_gets_totals() -> None:
    profile = clocked_profile()
    latency = clocked_latency(profile, exact([1000.0, 3000.0]))
    assert latency.busy is not None
    assert latency.busy[1].tolist() == pytest.approx([10e-9, 30e-9])
    assert latency.kind == "assumed"
    assessment = assess(LoadedProfile(profile, CMOS.path, "0"), small_counts(), [])
    assert len(assessment.scenarios) == 6
    for scenario in assessment.scenarios:
        assert scenario.bill.unpriced == (() if scenario.basis.endswith(REAL_TIME) else ("time.memory",))
        if scenario.basis.endswith(REAL_TIME):
            assert scenario.bill.of_term("power.static").nominal == pytest.approx(10e-3 * 0.3)
            assert scenario.bill.grade == "assumed"


# Bills


@pytest.mark.parametrize(("share", "grade"), [(0.049, "fitted"), (0.051, "derived"), (1.0, "derived"), (0.0, "fitted")])
def test_the_grade_ignores_terms_below_five_percent(share: float, grade: str) -> None:
    """A reset's price is derived, a synaptic operation's fitted: the weaker kind counts from 5 % of the total on."""
    reset, synop = (price_of(LOIHI.profile, f"energy.{term}") for term in ("reset", "synop"))
    assert reset is not None
    assert synop is not None
    assert (reset.kind, synop.kind) == ("derived", "fitted")
    counts = {"reset": share / reset.nominal, "synop": (1 - share) / synop.nominal}
    charges = [Charge(term, "x", f"energy.{term}", exact([count])) for term, count in counts.items()]
    bill = make_bill(LOIHI.profile, charges)
    assert bill.of_term("energy.reset").nominal / bill.total.nominal == pytest.approx(share)
    assert bill.grade == grade


def test_the_spread_over_recordings_is_apart_from_the_band() -> None:
    amounts = exact(np.arange(101.0))
    bill = make_bill(LOIHI.profile, [Charge("synaptic operations", "x", "energy.synop", amounts)])
    assert bill.spread == pytest.approx((5 * 33.6e-12, 95 * 33.6e-12))
    assert bill.total.nominal == pytest.approx(50 * 33.6e-12)


def test_what_was_not_counted_needs_no_price() -> None:
    nothing = Charge("spike traffic", "x", "energy.chip_crossing", exact([0.0]))
    assert make_bill(LOIHI.profile, [nothing]).complete
    assert not make_bill(LOIHI.profile, [replace(nothing, count=exact([1.0]))]).complete
    assert not make_bill(LOIHI.profile, [replace(nothing, count=None)]).complete


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 4000), st.sampled_from([LOIHI, CMOS]))
def test_bands_are_ordered_and_grow_with_the_counts(
    synops: float, more: float, neurons: int, loaded: LoadedProfile
) -> None:
    few, many = (
        replace(
            network(population(neurons=neurons, synops=each, active=neurons, spikes=neurons)),
            natural=natural(neurons=neurons, synops=each, spikes=neurons),
        )
        for each in (synops, synops + more)
    )
    for small, large in zip(assess(loaded, few, []).scenarios, assess(loaded, many, []).scenarios, strict=True):
        low, nominal, high = small.bill.total.corners
        assert 0 < low <= nominal <= high
        assert all(
            a <= b * (1 + 1e-12) for a, b in zip(small.bill.total.corners, large.bill.total.corners, strict=True)
        )


def test_paper_style_counts_operations_only() -> None:
    counts, twin = small_counts(), ANN
    spiking, ann = paper_style(CMOS.profile, counts, [twin])
    synops = sum(float(layer.synops.mean()) for layer in counts.layers if layer.kind == "lif")
    assert spiking.bill.total.corners == pytest.approx([0.9 * PICO * synops] * 3)
    assert ann.bill.total.corners == pytest.approx([4.6 * PICO * twin.macs] * 3)


# Break-even


def test_break_even_is_where_both_bills_agree() -> None:
    counts = small_counts()
    twin = ANN
    assessment = assess(CMOS, counts, [twin])
    assert len(assessment.break_evens) == 3
    item = assessment.break_evens[-1]
    target = item.at[1]
    assert target is not None
    synapses = sum(np.count_nonzero(small_network()[index].weights) for index in (0, 2))
    factor = target / (float(counts.natural.synops.mean()) / synapses)
    maps = tuple(replace(each, synops=each.synops * factor) for each in counts.natural.maps)
    kinds = tuple(replace(each, spikes=each.spikes * factor) for each in counts.natural.neurons)
    moved = assess(CMOS, replace(counts, natural=replace(counts.natural, maps=maps, neurons=kinds)), [twin])
    own, other = (s.bill.total.nominal for s in moved.scenarios if s.basis == item.basis)
    assert own == pytest.approx(other)


def test_no_break_even_between_different_scopes_or_above_the_fixed_cost() -> None:
    spiking = make_bill(CMOS.profile, [Charge("neuron updates", "x", "energy.ac_int32", exact([100.0]))])
    moving = Charge("synaptic operations", "x", "energy.ac_int32", exact([1.0]), scales=True)
    own = make_bill(CMOS.profile, [Charge("neuron updates", "x", "energy.ac_int32", exact([100.0])), moving])
    ann = make_bill(CMOS.profile, [Charge("operations", "x", "energy.mac_int8", exact([10.0]))])
    open_ended = make_bill(CMOS.profile, [Charge("standing power", "x", "power.static", None)])
    assert break_even(spiking, open_ended, 1.0, "a", "b") is None
    result = break_even(own, ann, 1.0, "a", "b")
    assert result is not None
    assert result.at == (None, None, None)
    assert result.ratio.nominal == pytest.approx(10.1 / 3.0)


# Wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.12e-3, "5.1 mJ"),
        (0.99951, "1.0 J"),
        (9.96e-7, "1.0 µJ"),
        (0, "0 J"),
        (123e-6, "120 µJ"),
        (4.2e13, "42,000 GJ"),
    ],
)
def test_two_figures_with_prefix(value: float, text: str) -> None:
    assert si(value, "J") == text


def test_a_band_shares_its_unit() -> None:
    assert band((480e-6, 740e-6, 0.0011), "J") == "0.48 to 1.1 mJ"
    assert band((4.98e-6, 5.0e-6, 5.02e-6), "J") == "5.0 µJ"


@given(st.floats(1e-20, 1e15))
def test_two_figures_are_within_five_percent(value: float) -> None:
    shown = two_figures(value).replace(",", "")
    assert float(shown) == pytest.approx(value, rel=0.0501)
    assert "e" not in shown
