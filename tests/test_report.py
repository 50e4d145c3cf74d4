"""The report: one page, one JSON file and one CSV file with the same figures, equal bytes for equal inputs."""

import csv
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from energy_cases import small_counts
from test_energy import TINY

from deploy.ann_twin import ann_twin
from deploy.energy.wording import si
from deploy.report import _recording_files, csv_text, page, write_report
from deploy.report_data import report_data
from export.counts import LayerCounts, NetworkCounts, network_id
from hardware_profiles.loader import load_profiles
from spikinghash.errors import RecordingError

FILES = ("counts.json", "report.csv", "report.html", "report.json")


def data_of(counts: NetworkCounts) -> dict[str, Any]:
    return report_data(counts, [ann_twin(TINY, 1), ann_twin(TINY, 4)], load_profiles("all"), ["a <note> on inputs"])


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return data_of(small_counts())


@pytest.fixture(scope="module")
def html(data: dict[str, Any]) -> str:
    return page(data)


class Elements(HTMLParser):
    """Start tags, ids, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("p", "li") and tag not in self.open:
            raise AssertionError(f"</{tag}> closes nothing")
        assert self.open.pop() == tag


def test_the_page_refers_to_nothing_outside_itself(html: str) -> None:
    elements = Elements(html)
    assert elements.open == []
    assert {tag for tag, _ in elements.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "base"})
    references = [v for _, attributes in elements.tags for k, v in attributes.items() if k.endswith(("href", "src"))]
    assert references
    assert all(reference and reference.startswith("#") for reference in references)
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?([^)'\"]*)", html))
    assert "@import" not in html


def test_ids_are_unique_and_references_lead_somewhere(html: str) -> None:
    elements = Elements(html)
    ids = Counter(attributes["id"] for _, attributes in elements.tags if "id" in attributes)
    assert max(ids.values()) == 1
    targets = {v[1:] for _, attributes in elements.tags for k, v in attributes.items() if v and k.endswith("href")}
    targets |= set(re.findall(r"url\(#([^)]*)\)", html))
    assert targets <= set(ids)


def test_the_page_is_escaped_and_dateless(html: str) -> None:
    assert "a &lt;note&gt; on inputs" in html
    assert "<note>" not in html
    assert "dc:date" not in html


def test_plots_follow_the_page_from_light_to_dark(html: str) -> None:
    assert "prefers-color-scheme: dark" in html
    plots = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(plots) == 6
    for plot in plots:
        assert "#0000" not in plot
        assert "var(--muted)" in plot
    used = set(re.findall(r"var\(--(\w+)\)", html))
    assert used <= set(re.findall(r"--(\w+):", html))


def test_every_total_is_on_the_page_and_in_the_csv(data: dict[str, Any], html: str) -> None:
    rows = list(csv.DictReader(csv_text(data).splitlines()))
    totals = [row for row in rows if row["row"] != "term"]
    scenarios = [row for item in [*data["platforms"], data["paper_style"]] for row in item["scenarios"]]
    assert len(totals) == len(scenarios) > 8
    for scenario, total in zip(scenarios, totals, strict=True):
        assert [float(total[key]) for key in ("energy_low_j", "energy_j", "energy_high_j")] == scenario["energy_j"]
        assert total["row"] == ("total" if scenario["complete"] else "lower bound")
        assert total["unpriced"] == "; ".join(scenario["unpriced"])
        assert si(scenario["energy_j"][1], "J") in html


def test_terms_add_up_to_their_total(data: dict[str, Any]) -> None:
    for platform in data["platforms"]:
        for row in platform["scenarios"]:
            for corner in range(3):
                terms = sum(term["energy_j"][corner] for term in row["terms"] if term["energy_j"])
                assert terms == pytest.approx(row["energy_j"][corner], rel=1e-4)
            layers = sum(sum(parts.values()) for parts in row["layers"].values())
            assert layers == pytest.approx(row["energy_j"][1], rel=1e-4)


def test_lower_bounds_are_marked_wherever_they_stand(data: dict[str, Any], html: str) -> None:
    cmos = next(item for item in data["platforms"] if item["id"] == "cmos_45nm")
    for row in cmos["scenarios"]:
        assert not row["complete"]
        assert row["unpriced"] == ["static power"]
        assert f"≥ {si(row['energy_j'][1], 'J')}" in html
    assert "dynamic energy" in data["answer"][0]


def test_the_ann_is_compared_on_the_same_platform_and_basis(data: dict[str, Any]) -> None:
    cmos = next(item for item in data["platforms"] if item["id"] == "cmos_45nm")
    energies = {(row["network"], row["basis"]): row["energy_j"] for row in cmos["scenarios"]}
    assert len(cmos["break_even"]) == 4
    for item in cmos["break_even"]:
        own, other = energies["SNN", item["basis"]], energies[item["against"], item["basis"]]
        assert item["ratio"][1] == pytest.approx(own[1] / other[1], rel=1e-4)


def test_a_network_that_does_not_fit_gets_no_figure() -> None:
    counts = small_counts()
    lif = counts.layers[1]
    wide = replace(lif, fan_in_max=5000)
    data = data_of(replace(counts, layers=(counts.layers[0], wide, *counts.layers[2:])))
    loihi = next(item for item in data["platforms"] if item["id"] == "loihi1")
    assert loihi["scenarios"] == []
    assert "does not fit: input axons per core: needs 5,000, has 4,096" in loihi["refusals"][0]
    assert any("does not fit" in sentence for sentence in data["answer"])
    assert "does not fit" in page(data)


def test_a_silent_network_still_has_a_report() -> None:
    def silent(layer: LayerCounts) -> LayerCounts:
        return replace(layer, spikes=0 * layer.spikes, synops=0 * layer.synops, active_updates=0 * layer.active_updates)

    counts = small_counts()
    data = data_of(replace(counts, layers=tuple(map(silent, counts.layers))))
    assert all(item["break_even"] == [] for item in data["platforms"])
    assert "<svg" in page(data)


def test_counts_in_the_report_are_those_of_the_trace(data: dict[str, Any]) -> None:
    counts = small_counts()
    assert data["network"]["synops"] == pytest.approx(
        sum(float(layer.synops.mean()) for layer in counts.layers), rel=1e-5
    )
    rows = {row["layer"]: row for row in data["layers"]}
    assert list(rows) == ["input", "stage1", "head"]
    lif, delay = counts.layers[1:3]
    assert rows["stage1"]["neurons"] == lif.neurons + delay.neurons
    share = delay.synops.mean() / (lif.synops.mean() + delay.synops.mean())
    assert rows["stage1"]["helper_synops_share"] == pytest.approx(share, rel=1e-5)


# The command


def command(*arguments: str, seed: str = "0") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONWARNINGS": "ignore", "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "deploy.report", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )


@pytest.fixture
def counts_file(tmp_path: Path) -> Path:
    path = tmp_path / "trace.json"
    path.write_text(small_counts().to_json())
    return path


def test_equal_inputs_give_equal_bytes(tmp_path: Path, counts_file: Path) -> None:
    for name, seed in (("one", "1"), ("two", "2")):
        done = command("--counts", str(counts_file), "--out", str(tmp_path / name), seed=seed)
        assert done.returncode == 0, done.stderr
        assert "lower bound, unpriced: static power" in done.stdout
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == list(FILES)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads((tmp_path / "one" / "report.json").read_text())["ann_twins"] == []


def refused(out: Path, *arguments: str) -> str:
    """The one line of a refused command, which must leave nothing behind."""
    done = command(*arguments, "--out", str(out))
    assert done.returncode == 2, done.stdout
    assert not out.exists()
    (line,) = done.stderr.strip().splitlines()
    return line


def test_bad_input_is_one_line_and_leaves_nothing(tmp_path: Path, counts_file: Path) -> None:
    out = tmp_path / "out"
    counts_file.write_text("{")
    assert "trace.json:1: not JSON" in refused(out, "--counts", str(counts_file))
    assert "nowhere.json: cannot be read" in refused(out, "--counts", str(tmp_path / "nowhere.json"))
    assert "no network" in refused(out)


def test_a_profile_with_a_negative_price_is_refused(tmp_path: Path, counts_file: Path) -> None:
    text = Path(load_profiles("loihi1")[0].path).read_text().replace("value = 81", "value = -81")
    mine = tmp_path / "mine.toml"
    mine.write_text(text)
    line = text[: text.index("value = -81")].count("\n") + 1
    message = refused(tmp_path / "out", "--counts", str(counts_file), "--profiles", f"cmos_45nm,{mine}")
    assert f"{mine}:{line}: energy.neuron_update_active.0.value" in message


def test_a_trace_of_another_network_is_refused(tmp_path: Path, counts_file: Path) -> None:
    encoder = tmp_path / "encoder.nir"
    encoder.write_bytes(b"another")
    message = refused(tmp_path / "out", str(encoder), "--counts", str(counts_file))
    assert "traced from small.nir" in message
    assert network_id(encoder) in message


def test_counts_and_recordings_exclude_each_other(tmp_path: Path, counts_file: Path) -> None:
    message = refused(tmp_path / "out", "--counts", str(counts_file), "--recordings", str(tmp_path))
    assert "--counts and --recordings" in message


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # norse scripts on import
def test_an_encoder_is_traced_from_recordings(tmp_path: Path) -> None:
    from export.network import build_network
    from export.to_nir import export_nir
    from training.config import EncoderConfig
    from training.data.digits import write_recordings
    from training.model.encoder import Spikinghash

    encoder, out = tmp_path / "encoder.nir", tmp_path / "out"
    export_nir(build_network(Spikinghash(EncoderConfig(**dataclasses.asdict(TINY))).eval()), encoder)
    recordings = write_recordings(tmp_path / "recordings", range(3))
    done = command(str(encoder), "--recordings", str(tmp_path / "recordings"), "--out", str(out))
    assert done.returncode == 0, done.stderr
    data = json.loads((out / "report.json").read_text())
    assert data["network"]["recordings"] == len(recordings)
    assert data["network"]["id"] == network_id(encoder)
    assert 0.2 < data["network"]["window_s"] < 0.4
    assert data["network"]["synops"] > 0
    again = command(str(encoder), "--counts", str(out / "counts.json"), "--out", str(tmp_path / "again"))
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again" / "report.html").read_bytes() == (out / "report.html").read_bytes()


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="holds no recording"):
        list(_recording_files([tmp_path]))


def test_write_report_replaces_an_earlier_one(tmp_path: Path, data: dict[str, Any]) -> None:
    for _ in range(2):
        write_report(data, small_counts(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == list(FILES)
