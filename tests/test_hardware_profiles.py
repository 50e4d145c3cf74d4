"""Profiles: what the built-in ones say, how estimates become bands, and how a broken file is refused."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_profiles.estimates import EnergyEstimate
from hardware_profiles.loader import builtin_ids, line_of, load_profile, load_profiles, parse_profile
from hardware_profiles.prices import barrier_price, price, superseded
from hardware_profiles.terms import KINDS
from spikinghash.errors import ProfileError

TEXTS = {name: Path(load_profile(name).path).read_text() for name in builtin_ids()}
LOIHI = TEXTS["loihi1"]
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
        ("time", "hop"): {4.1, 6.5},
        ("time", "barrier"): {113, 465},
    }
    for (section, term), values in printed.items():
        estimates = [e for e in getattr(profile, section)[term] if e.source == "davies2018"]
        assert {e.value for e in estimates} == values
        assert {e.kind for e in estimates} == {"simulated"}


def test_the_platforms_of_the_report_are_there() -> None:
    named = "loihi1 loihi2 truenorth spinnaker1 spinnaker2 speck xylo brainscales2 akida tianjic darwin3"
    rest = "cmos_45nm cmos_7nm x86_cpu cortex_m4 cortex_m7 jetson_orin_nano a100 h200 odin"
    assert builtin_ids() == sorted([*named.split(), *rest.split()])


def test_the_two_energies_of_a_synaptic_operation_on_loihi_are_a_band() -> None:
    """23.6 pJ is a simulated minimum, 35.5 pJ a fit: neither is preferred, nominal is the median of the fits."""
    band = price(load_profile("loihi1").profile.energy["synop"])
    assert band is not None
    assert band.corners == pytest.approx((23.6 * PICO, 33.6 * PICO, 35.5 * PICO))


def test_static_power_of_spinnaker_2_depends_on_the_voltage() -> None:
    profile = load_profile("spinnaker2").profile
    for point, watts in (("0.5 V", 0.2354), ("0.8 V", 0.5647), ("", 0.2354)):
        band = price(profile.at(point).power["static"])
        assert band is not None
        assert band.nominal == pytest.approx(watts)


@pytest.mark.parametrize("name", ["loihi2", "akida", "xylo", "brainscales2"])
def test_no_energy_is_invented_where_none_is_published(name: str) -> None:
    assert load_profile(name).profile.energy == {}


@pytest.mark.parametrize(
    ("name", "term", "value"),
    [
        ("truenorth", "synop", None),
        ("odin", "synop", 8.43),
        ("darwin3", "synop", 5.47),
        ("tianjic", "synop", None),
        ("cmos_7nm", "mac_int8", 0.07 + 0.03),
        ("cmos_7nm", "mac_fp32", 1.31 + 0.38),
        ("cmos_45nm", "mac_fp32", 3.7 + 0.9),
    ],
)
def test_energies_as_their_sources_define_them(name: str, term: str, value: float | None) -> None:
    band = price(load_profile(name).profile.energy[term])
    if value is not None:
        assert band is not None
        assert band.nominal / PICO == pytest.approx(value)
    elif name == "tianjic":
        assert band is None  # a peak efficiency is no price
    else:
        slope = (94e-3 - 68e-3) / ((95.93 - 11.58) * 2**20 * 128)
        assert band is not None
        assert band.corners == pytest.approx([slope] * 3, rel=1e-3)


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


def test_terms_inside_other_prices_are_known() -> None:
    inner = superseded(load_profile("truenorth").profile)
    assert inner["energy.hop"] == "energy.synop"
    assert inner["energy.neuron_update_inactive"] == "power.static"
    assert "energy.synop" not in inner


BROKEN = [
    ("value = 23.6", "value = -23.6", "energy.synop.0.value: should be greater than 0, not '-23.6'"),
    ("value = 23.6", "value = 0", "greater than 0, not '0'"),
    ("value = 23.6", 'value = "cheap"', "valid number"),
    ('unit = "uJ"', 'unit = "erg"', "energy.reset.0.unit"),
    ('kind = "derived"', 'kind = "guessed"', "not 'guessed'"),
    ('bound = "min"\nincludes', "preffered = true\nincludes", "energy.synop.0.preffered: unknown key"),
    ('source = "davies2018"\nnote = "A min', 'source = "nobody"\nnote = "A min', "source 'nobody' is not in [sources]"),
    ("[[energy.reset]]", "[[energy.rest]]", "energy.rest: unknown term"),
    ("chips = { value = 768", "chips = { value = 0", "limits.chips.value"),
    ("measured = 1.33", "measured = -1", "validation.0.measured"),
    ("synop = [5.12e7, 5.76e7]", "ac_int32 = 1.0", "counts ac_int32, which has no energy"),
    ("spikes = true", "spikes = maybe", "not TOML"),
    ("schema_version = 1", "schema_version = 2", "schema_version"),
    ('execution = "timestep_barrier"', 'execution = "magic"', "not 'magic'"),
    ('unit = "mJ"\nkind = "measured"', 'unit = "mA"\nkind = "measured"', "run.1.unit"),
    ('source = "blouw2019"', 'source = "nobody"', "run.1.source: source 'nobody' is not in [sources]"),
    ('source = "frady2020"\nnote = "Counts', 'source = "x"\nnote = "Counts', "validation.0.source: source 'x'"),
    ('bound = "min"', 'supersedes = ["energy.hops"]', "energy.hops is no term"),
    ('bound = "min"', 'supersedes = ["energy.hop"]', "supersedes other terms than the estimate before it"),
    ("synop = [5.12e7, 5.76e7]", "mac_int8 = 1.0", "counts mac_int8, which has no energy"),
    (
        "counts = { synop = [5.12e7, 5.76e7]",
        "work = { macs = 1.0, weight_bytes = 1.0, input_bytes = 1.0 } #",
        "no [[rate.memory]]",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_errors_name_the_line(old: str, new: str, message: str) -> None:
    text = LOIHI.replace(old, new, 1)
    assert text != LOIHI
    line = text[: text.index(new)].count("\n") + 1
    with pytest.raises(ProfileError, match=re.escape(message)) as caught:
        parse_profile(text, "mine.toml")
    if "other terms" in message:  # the second estimate of the list is the one that differs
        line = text[: text.index("[[energy.synop]]", text.index(new))].count("\n") + 1
    assert str(caught.value).startswith(f"mine.toml:{line}: ")
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(TEXTS)), st.data(), st.sampled_from(["-1", "0", "-0.5", "nan", "inf"]))
def test_a_bad_price_anywhere_names_its_line(name: str, data: st.DataObject, bad: str) -> None:
    """The oracle is the line that was changed."""
    lines = TEXTS[name].splitlines()
    prices = [number for number, line in enumerate(lines) if re.match(r"(value|measured) = ", line)]
    if not prices:
        return
    number = data.draw(st.sampled_from(prices))
    lines[number] = f"{lines[number].split(' ')[0]} = {bad}"
    with pytest.raises(ProfileError) as caught:
        parse_profile("\n".join(lines), "mine.toml")
    assert str(caught.value).startswith(f"mine.toml:{number + 1}: ")
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_an_unknown_key_anywhere_names_its_line(name: str, data: st.DataObject) -> None:
    lines = TEXTS[name].splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r"(source|kind|title|id|unit) = ", line)]
    number = data.draw(st.sampled_from(keys))
    lines.insert(number, "invented = 1")
    with pytest.raises(ProfileError, match=rf"^mine\.toml:{number + 1}: .*invented: unknown key$"):
        parse_profile("\n".join(lines), "mine.toml")


@pytest.mark.parametrize(
    ("text", "place", "line"),
    [
        ("a = 1\nb.c = 2\n", ("b", "c"), 2),
        ('[x]\n"y z" = 1\n', ("x", "y z"), 2),
        ("[[x]]\n[x.y]\nz = 1\n[[x]]\n[x.y]\nz = 2\n", ("x", 1, "y", "z"), 6),
        ("[[x]]\n[[x.y]]\na = 1\n[[x.y]]\na = 2\n", ("x", 0, "y", 1, "a"), 5),
        ("# nothing\n", ("x",), 1),
    ],
)
def test_lines_of_nested_tables_and_dotted_keys(text: str, place: tuple[str | int, ...], line: int) -> None:
    assert line_of(text, place) == line


@pytest.mark.parametrize(("term", "unit", "right"), [("memory", "Top/s", "GB/s"), ("int8", "GB/s", "Top/s")])
def test_a_rate_in_a_unit_of_another_kind_is_refused(term: str, unit: str, right: str) -> None:
    head, found, tail = TEXTS["a100"].partition(f"[[rate.{term}]]")
    text = head + found + re.sub(r'unit = "[^"]*"', f'unit = "{unit}"', tail, count=1)
    with pytest.raises(ProfileError, match=rf"rate\.{term}\.0\.unit: {unit} is no unit of rate\.{term}: use .*{right}"):
        parse_profile(text, "p")


def test_a_missing_key_names_the_line_of_its_table() -> None:
    text = LOIHI.replace('\nkind = "simulated"\nscope = "per_term"\nbound = "min"', '\nscope = "per_term"', 1)
    line = text[: text.index("[[energy.synop]]")].count("\n") + 1
    with pytest.raises(ProfileError, match=rf"^p:{line}: energy\.synop\.0\.kind: field required"):
        parse_profile(text, "p")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "counts = { synop = [5.12e7, 5.76e7]",
            "chips = 1 #",
            "states nothing to bill: give counts, work or duration_us",
        ),
        ('unit = "mJ"\ntolerance_rel', 'unit = "ms"\ntolerance_rel', "a time is predicted from work alone: give work"),
        ('unit = "mJ"\ntolerance_rel', 'unit = "mW"\ntolerance_rel', "standing power, and no [[power.static]]"),
    ],
)
def test_a_case_that_cannot_be_billed_is_refused(old: str, new: str, message: str) -> None:
    text = LOIHI.replace(old, new, 1)
    if "standing" in message:
        head, _, rest = text.partition("[[power.static]]")
        text = head + rest[rest.index("[[power.io]]") :]
    with pytest.raises(ProfileError, match=re.escape(message)):
        parse_profile(text, "p")


def test_two_preferred_estimates_are_refused() -> None:
    text = re.sub('note = "(dense|sparse) synapse format"', "preferred = true", LOIHI, count=2)
    with pytest.raises(ProfileError, match="more than one estimate is preferred"):
        parse_profile(text, "p")


def test_a_processor_without_a_memory_rate_is_refused() -> None:
    with pytest.raises(ProfileError, match=r"a roofline needs \[\[rate\.memory\]\]"):
        parse_profile(
            re.sub(r"\[\[rate\.memory\]\]", "[[rate.synop_core]]", TEXTS["x86_cpu"]).replace("GB/s", "Gop/s"), "p"
        )


def test_an_accelerator_without_memory_is_refused() -> None:
    text = Path(load_profile("cmos_45nm").path).read_text()
    with pytest.raises(ProfileError, match=r"at least one \[memory"):
        parse_profile(text[: text.index("[memory.sram_8kb]")], "p")


def test_a_file_of_ones_own_works_by_path(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(LOIHI.replace('id = "loihi1"', 'id = "mine"'))
    assert [loaded.profile.meta.id for loaded in load_profiles(f"loihi1, {mine}")] == ["loihi1", "mine"]


def test_profiles_that_are_not_there_are_named() -> None:
    with pytest.raises(ProfileError, match=r"loihi9: cannot be read .*cmos_45nm, .*loihi1, "):
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


def test_a_broken_file_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(LOIHI.replace("value = 23.6", "value = -1"))
    done = command(str(mine))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{mine}:" in done.stderr
