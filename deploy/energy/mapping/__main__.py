"""Place a network on the cores of a platform: ``python -m deploy.place ENCODER.nir --profile loihi1 [--json]``.

Prints how full the cores are and every limit that the network breaks. Exit code 1 when it does not fit.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deploy.energy.mapping.mapping import Mapping
from deploy.energy.mapping.place import place
from export.synaptic.populations import read_network
from hardware_profiles.loader import load_profile
from spikinghash.cli import run, wide_console
from spikinghash.errors import ComparisonError


def main(
    encoder: Annotated[Path, typer.Argument(help="NIR graph, an encoder or any other.", metavar="ENCODER.nir")],
    profile: Annotated[str, typer.Option(help="Id of a built-in profile, or path of one.")] = "loihi1",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Map a network onto cores: cores and chips used, the busiest core, and every limit broken."""
    loaded = load_profile(profile)
    mapping = place(read_network(encoder), loaded.profile)
    if as_json:
        json.dump({"network": encoder.name, **mapping.as_dict()}, sys.stdout, indent=1)
        print()
    else:
        _print(mapping, encoder.name, loaded.profile.meta.name)
    if mapping.broken:
        many = "limits are" if len(mapping.broken) > 1 else "limit is"
        raise ComparisonError(f"{encoder} does not fit {loaded.profile.meta.name}: {len(mapping.broken)} {many} broken")


def _print(mapping: Mapping, network: str, platform: str) -> None:
    console, busiest = wide_console(), mapping.busiest
    console.print(_populations(mapping, f"{network} on {platform}"))
    console.print(_limits(mapping))
    console.print(
        f"{mapping.cores:,} cores on {mapping.chips:,} chips; on average {mapping.mean_neurons_used:.0%} of a core's "
        f"neurons and {mapping.mean_memory_used:.0%} of its synapse memory are used"
    )
    console.print(
        f"busiest core: {busiest.core}, {busiest.limit} {busiest.actual:,.0f} of {busiest.allowed:,.0f} "
        f"({', '.join(busiest.populations)})"
    )
    for broken in mapping.broken:
        console.print(f"does not fit: {broken}", style="red")


def _populations(mapping: Mapping, title: str) -> Table:
    table = Table(title=title)
    for heading in ("population", "neurons", "cores", "from", "to"):
        table.add_column(heading, justify="left" if heading == "population" else "right", no_wrap=True)
    for name, numbers in mapping.core_of.items():
        ends = f"{numbers.min():,}", f"{numbers.max():,}"
        table.add_row(name, f"{len(numbers):,}", f"{mapping.cores_of(name):,}", *ends)
    return table


def _limits(mapping: Mapping) -> Table:
    table = Table(title="Limits")
    for heading in ("limit", "largest need", "has", "where", "fits"):
        table.add_column(heading, justify="right" if heading in ("largest need", "has") else "left", no_wrap=True)
    for check in mapping.checks:
        table.add_row(check.limit, f"{check.busiest:,.0f}", f"{check.allowed:,.0f}", check.where, check.fits)
    return table


if __name__ == "__main__":
    run(main)
