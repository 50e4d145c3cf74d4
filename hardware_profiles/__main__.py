"""``python -m hardware_profiles``: list the profiles, or check them against the schema and published measurements."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hardware_profiles.loader import LoadedProfile, builtin_ids, load_profile
from hardware_profiles.schema import Profile
from hardware_profiles.terms import KINDS
from spikinghash.cli import run, wide_console
from spikinghash.errors import ComparisonError

if TYPE_CHECKING:
    from deploy.energy.validation import Accuracy, Outcome


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
    # The cases run through the model that bills encoders, which lies above this package. This file is a command that no
    # module imports, so that reaching up from here closes no circle.
    from deploy.energy.validation import validate

    checked = [(item.profile, validate(item.profile)) for item in loaded]
    console.print(_validations(checked))
    verdicts = Counter(accuracy.verdict for _, accuracy in checked)
    console.print(f"{verdicts['reproduced']} of {len(checked)} profiles reproduce every case that they claim")
    if failed := [line for profile, accuracy in checked for line in _misses(profile, accuracy)]:
        raise ComparisonError("; ".join(failed))


def _misses(profile: Profile, accuracy: "Accuracy") -> Iterator[str]:
    """What is refused: a claimed case that the model misses, with both numbers."""
    for outcome in accuracy.claimed:
        if not outcome.passed:
            yield (
                f"{profile.meta.id}: {outcome.case.name}: claimed, but predicted {_predicted(outcome)}, measured "
                f"{_in_unit(outcome.measured, outcome)}: {outcome.error_text}, limit {outcome.case.tolerance_rel:.0%}: "
                "correct the prices, or set claimed = false"
            )


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
        platform = profile.meta.name + (f", {profile.meta.process_nm:g} nm" if profile.meta.process_nm else "")
        table.add_row(profile.meta.id, platform, profile.meta.execution, *numbers, evidence or "none")
    return table


def _validations(checked: list[tuple[Profile, "Accuracy"]]) -> Table:
    table = Table(title="Validation against published measurements: billed as an encoder is")
    for heading in ("id", "case", "model", "measured", "error", "limit", "verdict"):
        table.add_column(heading, no_wrap=heading not in ("case", "model"))
    for profile, accuracy in checked:
        for outcome in accuracy.outcomes:
            measured, limit = _in_unit(outcome.measured, outcome), f"{outcome.case.tolerance_rel:.0%}"
            row = outcome.case.name, _predicted(outcome), measured, outcome.error_text, limit, _said(outcome)
            table.add_row(profile.meta.id, *row)
        if not accuracy.outcomes:
            reason = profile.meta.unvalidated or "no published measurement to reproduce"
            table.add_row(profile.meta.id, reason, "", "", "", "", accuracy.verdict)
    return table


def _said(outcome: "Outcome") -> str:
    if outcome.passed:
        return "[green]reproduced[/green]" if outcome.nominally else "[green]in its band[/green]"
    return "[red]missed[/red]" if outcome.case.claimed else "missed, not claimed"


def _predicted(outcome: "Outcome") -> str:
    low, nominal, high = (_in_unit(value, outcome) for value in outcome.predicted.corners)
    return nominal if low == high else f"{nominal} ({low} to {high})"


def _in_unit(value: float, outcome: "Outcome") -> str:
    """An SI value in the unit of the publication, with three figures."""
    scaled = value * outcome.case.measured / outcome.measured
    return f"{scaled:,.0f} {outcome.case.unit}" if scaled >= 1000 else f"{scaled:.3g} {outcome.case.unit}"


if __name__ == "__main__":
    run(main)
