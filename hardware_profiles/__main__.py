"""``python -m hardware_profiles``: list the profiles, or check them against the schema and published measurements."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hardware_profiles.loader import LoadedProfile, builtin_ids, load_profile
from hardware_profiles.prices import Outcome, validate
from hardware_profiles.schema import KINDS
from spikinghash.cli import run
from spikinghash.errors import ComparisonError


def main(
    files: Annotated[list[Path] | None, typer.Argument(help="Profile files; default: all built-in profiles.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Run the validation cases too.")] = False,
) -> None:
    """List hardware profiles. Every profile shown has passed the schema."""
    loaded = [load_profile(str(name)) for name in files or builtin_ids()]
    console = Console()
    console.print(_listing(loaded))
    if not check:
        return
    outcomes = [(item.profile.meta.id, outcome) for item in loaded for outcome in validate(item.profile)]
    console.print(_validations(loaded, outcomes))
    failed = [f"{name}: {outcome.case.name}" for name, outcome in outcomes if not outcome.passed]
    if failed:
        raise ComparisonError(f"{len(failed)} validation cases miss their measurement: {'; '.join(failed)}")


def _listing(loaded: list[LoadedProfile]) -> Table:
    table = Table(title="Hardware profiles")
    for heading in ("id", "platform", "execution", "terms", "evidence, number of estimates"):
        table.add_column(heading, no_wrap=heading in ("id", "execution"))
    for item in loaded:
        meta, lists = item.profile.meta, list(item.profile.estimate_lists())
        kinds = Counter(estimate.kind for _, several in lists for estimate in several)
        evidence = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind])
        table.add_row(meta.id, f"{meta.name}, {meta.process_nm:g} nm", meta.execution, str(len(lists)), evidence)
    return table


def _validations(loaded: list[LoadedProfile], outcomes: list[tuple[str, Outcome]]) -> Table:
    table = Table(title="Validation against published measurements")
    for heading in ("id", "case", "predicted", "measured", "error (limit)", "verdict"):
        table.add_column(heading, no_wrap=heading not in ("case", "predicted"))
    for name, outcome in outcomes:
        low, high = (f"{1e3 * energy:.3g}" for energy in outcome.predicted)
        errors = " to ".join(f"{error:+.0%}" for error in outcome.errors)
        verdict = "[green]reproduced[/green]" if outcome.passed else "[red]missed[/red]"
        limit = f"({outcome.case.tolerance_rel:.0%})"
        measured = f"{1e3 * outcome.measured:.3g} mJ"
        table.add_row(name, outcome.case.name, f"{low} to {high} mJ", measured, f"{errors} {limit}", verdict)
    tested = {name for name, _ in outcomes}
    for item in loaded:
        if item.profile.meta.id not in tested:
            table.add_row(item.profile.meta.id, "no published measurement to reproduce", "", "", "", "unvalidated")
    return table


if __name__ == "__main__":
    run(main)
