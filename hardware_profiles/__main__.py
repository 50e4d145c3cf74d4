"""``python -m hardware_profiles``: list the profiles, or check them against the schema and published measurements."""

from collections import Counter
from typing import Annotated

import typer
from rich.table import Table

from hardware_profiles.loader import LoadedProfile, builtin_ids, load_profile
from hardware_profiles.prices import Outcome, validate, verdict
from hardware_profiles.schema import Profile
from hardware_profiles.terms import KINDS
from spikinghash.cli import run, wide_console
from spikinghash.errors import ComparisonError


def main(
    profiles: Annotated[
        list[str] | None, typer.Argument(help="Ids of built-in profiles or paths of files; default: all built-in ones.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Run the validation cases too.")] = False,
) -> None:
    """List hardware profiles. Every profile shown has passed the schema."""
    loaded = [load_profile(name) for name in profiles or builtin_ids()]
    console = wide_console()
    console.print(_listing(loaded))
    if not check:
        return
    outcomes = {item.profile.meta.id: validate(item.profile) for item in loaded}
    console.print(_validations(outcomes))
    failed = [f"{name}: {one.case.name}" for name, several in outcomes.items() for one in several if not one.passed]
    if failed:
        raise ComparisonError(f"{len(failed)} validation cases miss their measurement: {'; '.join(failed)}")


def _listing(loaded: list[LoadedProfile]) -> Table:
    table = Table(title="Hardware profiles")
    for heading in ("id", "platform", "execution", "prices", "times", "limits", "evidence, number of estimates"):
        table.add_column(heading, no_wrap=heading in ("id", "execution"))
    for item in loaded:
        profile = item.profile
        kinds = Counter(estimate.kind for _, several in profile.estimate_lists() for estimate in several)
        evidence = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind])
        prices = len(profile.energy) + len(profile.power) + len(profile.memory)
        limits = sum(limit is not None for _, limit in profile.limits)
        times = len(profile.time) + len(profile.rate)
        numbers = (str(number) for number in (prices, times, limits))
        table.add_row(profile.meta.id, _platform(profile), profile.meta.execution, *numbers, evidence or "none")
    return table


def _platform(profile: Profile) -> str:
    node = f", {profile.meta.process_nm:g} nm" if profile.meta.process_nm else ""
    return f"{profile.meta.name}{node}"


def _validations(outcomes: dict[str, list[Outcome]]) -> Table:
    table = Table(title="Validation against published measurements")
    for heading in ("id", "case", "predicted", "measured", "error (limit)", "verdict"):
        table.add_column(heading, no_wrap=heading not in ("case", "predicted"))
    for name, several in outcomes.items():
        for outcome in several:
            table.add_row(name, *_row(outcome))
        if not several:
            table.add_row(name, "no published measurement to reproduce", "", "", "", verdict(several))
    return table


def _row(outcome: Outcome) -> tuple[str, str, str, str, str]:
    unit = f"m{outcome.unit}"
    low, high = (f"{1e3 * value:.3g}" for value in outcome.predicted)
    predicted = f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
    errors = " to ".join(dict.fromkeys(f"{round(error, 3) + 0.0:+.1%}" for error in outcome.errors))
    said = "[green]reproduced[/green]" if outcome.passed else "[red]missed[/red]"
    limit = f"({outcome.case.tolerance_rel:.0%})"
    return outcome.case.name, predicted, f"{1e3 * outcome.measured:.3g} {unit}", f"{errors} {limit}", said


if __name__ == "__main__":
    run(main)
