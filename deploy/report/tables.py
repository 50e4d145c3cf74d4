"""The figures of the report as CSV and as a table for the terminal."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from rich.table import Table

from deploy.energy.wording import band, si
from deploy.report.page import map_text

Values = dict[str, Any]

_COLUMNS = (
    *("platform", "network", "map", "basis", "row", "name", "count_low", "count", "count_high", "unit", "price_low"),
    *("price", "price_high", "price_unit", "kind", "sources", "energy_low_j", "energy_j", "energy_high_j"),
    *("recordings_p5_j", "recordings_p95_j", "unpriced"),
)


def csv_text(data: Values) -> str:
    """Every bill of the report, one line per term and one per total (a lower bound where terms are unpriced)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    maps = {item["network"]: " ".join(f"{each['mean']:g}" for each in item["maps"]) for item in data["networks"]}
    for platform in _billed(data):
        for row in platform["scenarios"]:
            writer.writerows(_csv_rows(platform["id"], maps.get(row["network"], ""), row))
    return buffer.getvalue()


def _billed(data: Values) -> list[Values]:
    """All that has bills: the platforms, the search on each of them, the paper-style row."""
    search = [{**item, "id": f"{item['id']} search"} for item in (data["search"] or {"platforms": []})["platforms"]]
    return [*data["platforms"], *search, data["paper_style"]]


def _csv_rows(platform: str, precision: str, row: Values) -> Iterator[list[Any]]:
    head = [platform, row["network"], precision, row["basis"]]
    blank = [None] * 3
    for term in row["terms"]:
        yield [
            *head, "term", term["name"], *(term["count"] or blank), term["unit"], *(term["price"] or blank),
            term["price_unit"], term["kind"], " ".join(term["sources"]), *(term["energy_j"] or blank), None, None, None,
        ]  # fmt: skip
    kind = "total" if row["complete"] else "lower bound"
    unpriced = "; ".join(row["unpriced"])
    yield [
        *head, kind, None, *blank, None, *blank, None, row["grade"], None, *row["energy_j"],
        *row["recordings_p5_p95_j"], unpriced,
    ]  # fmt: skip


def terminal_table(data: Values) -> Table:
    """One line per bill."""
    table = Table(title=f"Energy per code, {data['network']['recordings']} recordings")
    columns = ("platform", "network", f"mAP{' on ' + data['dataset'] if data['dataset'] else ''}", "basis", "nominal",
               "band of prices", "grade")  # fmt: skip
    for heading in columns:
        table.add_column(heading, justify="right" if heading == "nominal" else "left")
    maps = {item["network"]: map_text(item["maps"]).replace("mAP not", "not") for item in data["networks"]}
    for platform in [*data["platforms"], {**data["paper_style"], "id": "paper"}]:
        for row in platform["scenarios"]:
            nominal = ("" if row["complete"] else "≥ ") + si(row["energy_j"][1], "J")
            table.add_row(
                platform["id"], row["network"], maps[row["network"]], row["basis"], nominal,
                band(row["energy_j"], "J"), row["grade"],
            )  # fmt: skip
        table.add_section()
    return table


def remarks(data: Values) -> Iterator[str]:
    """Why figures are lower bounds or missing."""
    for platform in data["platforms"]:
        unpriced = dict.fromkeys(name for row in platform["scenarios"] for name in row["unpriced"])
        if unpriced:
            yield f"{platform['id']}: lower bound, unpriced: {', '.join(unpriced)}"
        for refusal in platform["refusals"]:
            yield f"{platform['id']}: no figure for {refusal}"
