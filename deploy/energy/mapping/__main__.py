"""Place a network on the cores of a platform: ``python -m deploy.place ENCODER --profile loihi1 [--json]``.

Prints how full the cores are and every limit that the network breaks. Exit code 1 when it does not fit.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deploy.backends.as_nir import as_nir
from deploy.energy.mapping.place import place
from deploy.energy.mapping.placement import Fit, Placement
from export.synaptic.counted import read_network
from hardware_profiles.loader import load_profile
from spikinghash.cli import run, wide_console
from spikinghash.errors import ComparisonError
from spikinghash.progress import working


def main(
    encoder: Annotated[Path, typer.Argument(help="Any NIR graph; or an encoder (.onnx, .pt).")],
    profile: Annotated[str, typer.Option(help="Id of a built-in profile, or path of one.")] = "loihi1",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Map a network onto cores: cores and chips used, the busiest core, and every limit broken."""
    loaded = load_profile(profile)
    with as_nir(encoder) as graph, working("placing populations on cores"):
        fit = place(read_network(graph), loaded.profile)
    if as_json:
        json.dump({"network": encoder.name, "profile": loaded.profile.meta.id, **fit.as_dict()}, sys.stdout, indent=1)
        print()
    else:
        _print(fit, encoder.name, loaded.profile.meta.name)
    if broken := {check.limit for check in fit.broken}:
        many = "limits are" if len(broken) > 1 else "limit is"
        raise ComparisonError(f"{encoder} does not fit {loaded.profile.meta.name}: {len(broken)} {many} broken")


def _print(fit: Fit, network: str, platform: str) -> None:
    console, placed, tightest = wide_console(), fit.placement, fit.tightest
    if placed is not None:
        console.print(_populations(placed, f"{network} on {platform}"))
        console.print(
            f"{placed.cores:,} cores on {placed.chips:,} chips; on average {placed.neurons_used:.0%} of a core's "
            f"neurons and {placed.memory_used:.0%} of its synapse memory are used"
        )
    console.print(_limits(fit))
    if tightest is not None:
        console.print(f"tightest limit: {tightest.limit}, {tightest.share:.0%} of it ({tightest.where})")
    for limit in dict.fromkeys(check.limit for check in fit.broken):
        checks = [check for check in fit.broken if check.limit == limit]
        others = f" ({len(checks) - 1} more populations break it)" if len(checks) > 1 else ""
        console.print(f"does not fit: {max(checks, key=lambda check: check.share)}{others}", style="red")


def _populations(placed: Placement, title: str) -> Table:
    table = Table(title=title)
    for heading in ("population", "neurons", "cores", "from", "to"):
        table.add_column(heading, justify="left" if heading == "population" else "right", no_wrap=True)
    for name, numbers in placed.core_of.items():
        ends = f"{numbers.min():,}", f"{numbers.max():,}"
        table.add_row(name, f"{len(numbers):,}", f"{placed.cores_of(name):,}", *ends)
    return table


def _limits(fit: Fit) -> Table:
    table = Table(title="Limits that are kept")
    for heading in ("limit", "largest need", "has", "where"):
        table.add_column(heading, justify="right" if heading in ("largest need", "has") else "left", no_wrap=True)
    for check in (check for check in fit.checks if check.fits != "no"):
        table.add_row(check.limit, f"{check.needed or 0:,.0f}", f"{check.has:,.0f}", check.where)
    return table


if __name__ == "__main__":
    run(main)
