"""Profiles: what the built-in ones say, how estimates become bands, and how a broken file is refused."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_profiles.loader import builtin_ids, load_profile, load_profiles, parse_profile
from hardware_profiles.prices import barrier_price, price, validate
from hardware_profiles.schema import KINDS, EnergyEstimate
from spikinghash.errors import ProfileError

LOIHI = Path(load_profile("loihi1").path).read_text()
BARRIER = load_profile("loihi1").profile.time["barrier"]
PICO, NANO = 1e-12, 1e-9


def estimate(value: float, kind: str = "simulated", **more: object) -> EnergyEstimate:
    return EnergyEstimate(value=value, unit="pJ", kind=kind, scope=more.pop("scope", "per_term"), source="s", **more)


@pytest.mark.parametrize("name", builtin_ids())
def test_every_built_in_profile_cites_every_source_it_lists(name: str) -> None:
    profile = load_profile(name).profile
    assert profile.meta.id == name
    assert {key for _, key in profile.cited()} == set(profile.sources)


def test_loihi_holds_table_2_of_davies_2018() -> None:
    profile = load_profile("loihi1").profile
    printed = {
        ("energy", "synop"): {23.6},
        ("energy", "neuron_update_active"): {81},
        ("energy", "neuron_update_inactive"): {52},
        ("energy", "packet"): {1.7},
        ("energy", "hop"): {3.0, 4.0},
        ("time", "synop"): {3.5},
        ("time", "neuron_update_active"): {8.4},
        ("time", "neuron_update_inactive"): {5.3},
        ("time", "packet"): {2.1},
        ("time", "barrier"): {113, 465},
    }
    for (section, term), values in printed.items():
        estimates = [e for e in getattr(profile, section)[term] if e.source == "davies2018"]
        assert {e.value for e in estimates} == values
        assert {e.kind for e in estimates} == {"simulated"}


def test_no_static_power_or_clock_is_claimed_for_the_45_nm_table() -> None:
    profile = load_profile("cmos_45nm").profile
    assert not profile.power
    assert not profile.time


def test_a_band_spans_all_estimates_and_the_strongest_kind_is_nominal() -> None:
    band = price([estimate(10, "assumed"), estimate(4, "fitted"), estimate(6, "fitted"), estimate(2)])
    assert band is not None
    assert band.corners == pytest.approx((2 * PICO, 5 * PICO, 10 * PICO))
    assert band.kind == "fitted"


def test_a_preferred_estimate_is_nominal() -> None:
    band = price([estimate(10, "measured"), estimate(4, "simulated", preferred=True)])
    assert band is not None
    assert band.nominal == pytest.approx(4 * PICO)
    assert band.kind == "simulated"


def test_all_in_estimates_are_not_mixed_with_others() -> None:
    assert price([estimate(26, "measured", scope="all_in")]) is None
    band = price([estimate(26, "measured", scope="all_in"), estimate(2)])
    assert band is not None
    assert band.high == pytest.approx(2 * PICO)


@given(st.lists(st.tuples(st.floats(1e-3, 1e3), st.sampled_from(KINDS)), min_size=1, max_size=6))
def test_bands_are_ordered_and_graded_by_their_nominal_value(values: list[tuple[float, str]]) -> None:
    band = price([estimate(value, kind) for value, kind in values])
    assert band is not None
    assert 0 < band.low <= band.nominal <= band.high
    assert band.kind == min((kind for _, kind in values), key=KINDS.index)


@pytest.mark.parametrize(
    ("tiles", "expected", "kind"),
    [
        (1, (113, 600, 600), "fitted"),
        (20, (113, 1800, 1800), "fitted"),
        (31, (113, 1800, 1800), "fitted"),  # beyond the fitted points, within those of the simulation
        (64, (465, 5800, 5800), "derived"),  # between one chip and the 32 chips that were measured
        (2000, (5800, 14300, 14300), "measured"),
    ],
)
def test_barrier_between_published_sizes(tiles: int, expected: tuple[float, ...], kind: str) -> None:
    band = barrier_price(BARRIER, tiles)
    assert band is not None
    assert band.corners == pytest.approx([value * NANO for value in expected])
    assert band.kind == kind


def test_barrier_beyond_the_largest_system_is_unknown() -> None:
    assert barrier_price(BARRIER, 24577) is None


@given(st.integers(1, 24575))
def test_barrier_never_gets_faster_on_more_tiles(tiles: int) -> None:
    smaller, larger = barrier_price(BARRIER, tiles), barrier_price(BARRIER, tiles + 1)
    assert smaller is not None
    assert larger is not None
    assert smaller.nominal <= larger.nominal
    assert smaller.low <= smaller.nominal <= smaller.high


def test_loihi_reproduces_the_measured_nearest_neighbour_query() -> None:
    (outcome,) = validate(load_profile("loihi1").profile)
    low = 5.12e7 * 23.6e-12 + 4.608e6 * 51.2e-12
    high = 5.76e7 * 23.6e-12 + 4.608e6 * 51.2e-12
    assert outcome.predicted == pytest.approx((low, high))
    assert outcome.errors == pytest.approx((low / 1.33e-3 - 1, high / 1.33e-3 - 1))
    assert outcome.passed


BROKEN = [
    ("value = 23.6", "value = -23.6", "energy.synop.0.value: should be greater than 0, not '-23.6'"),
    ("value = 23.6", "value = 0", "greater than 0, not '0'"),
    ("value = 23.6", 'value = "cheap"', "valid number"),
    ('unit = "uJ"', 'unit = "erg"', "energy.reset.0.unit"),
    ('kind = "derived"', 'kind = "guessed"', "not 'guessed'"),
    ('source = "davies2018"\npreferred', 'source = "nobody"\npreferred', "source 'nobody' is not in [sources]"),
    ("preferred = true", "preffered = true", "energy.synop.0.preffered: unknown key"),
    ("[[energy.reset]]", "[[energy.rest]]", "energy.rest: unknown term"),
    ("chips = { value = 768", "chips = { value = 0", "limits.chips.value"),
    ("measured = 1.33", "measured = -1", "validation.0.measured"),
    ("synop = [5.12e7, 5.76e7]", "ac_int32 = 1.0", "counts ac_int32, which has no energy"),
    ("spikes = true", "spikes = maybe", "not TOML"),
    ("schema_version = 1", "schema_version = 2", "schema_version"),
]


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_errors_name_the_line(old: str, new: str, message: str) -> None:
    text = LOIHI.replace(old, new, 1)
    assert text != LOIHI
    line = text[: text.index(new)].count("\n") + 1
    with pytest.raises(ProfileError, match=re.escape(message)) as caught:
        parse_profile(text, "mine.toml")
    assert str(caught.value).startswith(f"mine.toml:{line}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_key_names_the_line_of_its_table() -> None:
    text = LOIHI.replace('\nkind = "simulated"\nscope = "per_term"\nbound = "min"', '\nscope = "per_term"', 1)
    line = text[: text.index("[[energy.synop]]")].count("\n") + 1
    with pytest.raises(ProfileError, match=rf"^p:{line}: energy\.synop\.0\.kind: field required"):
        parse_profile(text, "p")


def test_two_preferred_estimates_are_refused() -> None:
    text = LOIHI.replace('note = "dense synapse format"', "preferred = true", 1)
    with pytest.raises(ProfileError, match="more than one estimate is preferred"):
        parse_profile(text, "p")


def test_cores_without_a_limit_that_placement_needs_are_refused() -> None:
    with pytest.raises(ProfileError, match=r"needs limits\.neurons_per_core"):
        parse_profile(re.sub(r"neurons_per_core = .*", "", LOIHI), "p")


def test_an_accelerator_without_memory_is_refused() -> None:
    text = Path(load_profile("cmos_45nm").path).read_text()
    with pytest.raises(ProfileError, match=r"at least one \[memory"):
        parse_profile(text[: text.index("[memory.sram_8kb]")], "p")


def test_a_file_of_ones_own_works_by_path(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(LOIHI.replace('id = "loihi1"', 'id = "mine"'))
    assert [loaded.profile.meta.id for loaded in load_profiles(f"loihi1, {mine}")] == ["loihi1", "mine"]


def test_profiles_that_are_not_there_are_named() -> None:
    with pytest.raises(ProfileError, match=r"loihi9: cannot be read .*cmos_45nm, loihi1"):
        load_profiles("loihi9")
    with pytest.raises(ProfileError, match="two profiles have the id loihi1"):
        load_profiles("loihi1,loihi1")
    with pytest.raises(ProfileError, match="no profile chosen"):
        load_profiles(" , ")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hardware_profiles", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_check_passes_on_the_built_in_profiles() -> None:
    done = command("--check")
    assert done.returncode == 0, done.stderr
    assert "reproduced" in done.stdout
    assert "unvalidated" in done.stdout


def test_check_fails_when_a_measurement_is_missed(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(LOIHI.replace("value = 23.6", "value = 60"))
    done = command("--check", str(mine))
    assert done.returncode == 1
    assert "nearest-neighbour query" in done.stderr


def test_a_broken_file_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(LOIHI.replace("value = 23.6", "value = -1"))
    done = command(str(mine))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{mine}:" in done.stderr
