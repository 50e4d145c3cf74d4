"""The search is billed: its work against loops over real codes, its bills against hand calculations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.energy.amounts import mean
from deploy.energy.assessment import REAL_TIME
from deploy.energy.search import FOUND, SEARCH, assess_search, associative_memory, scan, scan_charges
from hardware_profiles.loader import load_profile, load_profiles

CMOS, LOIHI = load_profile("cmos_45nm"), load_profile("loihi1")


def test_an_associative_memory_raises_each_neuron_by_the_bits_that_agree() -> None:
    codes, bits = 400, 16
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 2, (codes, bits))
    weights = np.concatenate([stored == 1, stored == 0], axis=1)  # (neurons, 2 K lines)
    synops, distances = [], []
    for query in rng.integers(0, 2, (20, bits)):
        lines = np.concatenate([query == 1, query == 0])
        potential = [sum(1 for line in np.flatnonzero(lines) if row[line]) for row in weights]
        synops.append(sum(potential))
        distances.append(bits * codes - int((stored != query).sum()))
    assert synops == distances
    _, memory = associative_memory(codes, bits).layers
    assert memory.synops[0] == pytest.approx(np.mean(synops), rel=0.05)
    assert memory.synapses == weights.sum()
    assert memory.fan_in_max == weights.sum(axis=1).max()


def test_the_query_raises_one_line_per_bit() -> None:
    lines, memory = associative_memory(7, 16).layers
    assert (lines.neurons, lines.spikes[0]) == (32, 16)
    assert memory.spikes[0] == min(7, FOUND) == memory.active_updates[0]


def test_a_query_takes_three_steps_where_every_hop_takes_one() -> None:
    """All neurons are updated in each; those of the codes are active in one."""
    (row,) = assess_search(LOIHI, 1000, 32).scenarios
    assert row.bill.count_of_term("energy.neuron_update_active").nominal == 1000
    assert row.bill.count_of_term("energy.neuron_update_inactive").nominal == 2000


def test_a_scan_by_hand() -> None:
    """1,000 codes of 40 bits: two 32-bit words and five bytes each, on words of memory of 64 bits."""
    memory, arithmetic = scan_charges(CMOS.profile, scan(1000, 40, 32))
    assert memory.term == "memory.sram_8kb"
    assert memory.count is not None
    assert mean(memory.count).corners == (625, 625, 625)
    assert arithmetic.count is not None
    # Per code: a sum of two counts and a comparison; two exclusive ors and two population counts, free at the low end.
    assert mean(arithmetic.count).corners == (2000, 6000, 6000)


@given(st.integers(1, 10**7), st.integers(1, 256))
def test_twice_the_codes_take_twice_the_additions(codes: int, bits: int) -> None:
    one, two = (scan_charges(CMOS.profile, scan(number, bits, 32))[1].count for number in (codes, 2 * codes))
    assert one is not None
    assert two is not None
    assert two.tolist() == (2 * one).tolist()


@pytest.mark.parametrize("loaded", load_profiles("all"), ids=lambda loaded: loaded.profile.meta.id)
def test_every_platform_has_a_bill_or_a_reason(loaded: object) -> None:
    found = assess_search(loaded, 10_000, 32)  # type: ignore[arg-type]
    assert found.scenarios or found.refusals
    for scenario in found.scenarios:
        assert scenario.network == SEARCH
        assert REAL_TIME not in scenario.basis
        assert scenario.bill.total.nominal > 0
        assert scenario.bill.total.low <= scenario.bill.total.nominal <= scenario.bill.total.high


def test_a_database_that_does_not_fit_is_refused() -> None:
    found = assess_search(LOIHI, 10**9, 32)
    assert found.scenarios == ()
    assert str(found.refusals[0]).startswith("search: does not fit: ")
