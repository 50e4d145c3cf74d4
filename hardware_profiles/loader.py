"""Reading profiles: the built-in ones by id, anybody's own by path. Errors name the file and the line."""

import contextlib
import hashlib
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hardware_profiles.estimates import Estimate, Location
from hardware_profiles.schema import Profile, Validation
from hardware_profiles.terms import EVENT_TERMS, TERM_PATHS
from spikinghash.errors import ProfileError, in_one_line
from spikinghash.files import read_file
from spikinghash.names import meant
from spikinghash.toml import parse_toml

_FOLDER = Path(__file__).parent
_LARGEST = 2**18
"""Bytes of a profile."""
_STATEMENT = re.compile(r"""\s*(\[|["'\w][^=]*=)""")
"""How a line begins that is a table's header or a key; within a value over several lines, some do, too."""
_MOST_PARTS = 20
"""Such lines within a value, if messages shall name the line of its key."""


@dataclass(frozen=True)
class LoadedProfile:
    """A profile with the file it came from."""

    profile: Profile
    path: Path
    sha256: str


def builtin_ids() -> list[str]:
    """Ids of the profiles that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_profiles(names: str) -> list[LoadedProfile]:
    """Load ``all`` built-in profiles, or a comma-separated list of ids and paths."""
    chosen = builtin_ids() if names == "all" else [name.strip() for name in names.split(",") if name.strip()]
    if not chosen:
        raise ProfileError(
            f"no profile chosen: use all, or some of {', '.join(builtin_ids())}, or the path of a TOML file"
        )
    profiles = [load_profile(name) for name in chosen]
    repeated = [key for key, number in Counter(loaded.profile.meta.id for loaded in profiles).items() if number > 1]
    if repeated:
        raise ProfileError(f"two profiles have the id {repeated[0]}: give each its own meta.id")
    return profiles


def load_profile(name: str) -> LoadedProfile:
    """Load a built-in profile by id, or a profile file by path.

    Raises:
        ProfileError: there is no such profile, or the file breaks the schema; the message names file and line.
    """
    path = _FOLDER / f"{name}.toml" if name in builtin_ids() else Path(name)
    try:
        data = read_file(path, _LARGEST)
        return LoadedProfile(parse_profile(data.decode(), str(path)), path, hashlib.sha256(data).hexdigest())
    except OSError as error:
        known = builtin_ids()
        raise ProfileError(
            f"{path}: cannot be read ({error.strerror}): use a path or one of {', '.join(known)}{meant(name, known)}"
        ) from None
    except UnicodeDecodeError:
        raise ProfileError(f"{path}: is not UTF-8 text") from None


def parse_profile(text: str, source: str) -> Profile:
    """Check the TOML document ``text``; ``source`` names it in messages.

    Raises:
        ProfileError: the document breaks the schema.
    """
    try:
        profile = Profile.model_validate(parse_toml(text), strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        raise _problem(text, source, first["loc"], _explain(first)) from None
    except ValueError as error:
        line = re.search(r"line (\d+)", str(error))
        raise ProfileError(f"{source}:{line[1] if line else '1'}: not TOML: {in_one_line(error)}") from None
    for place, what in _inconsistencies(profile):
        raise _problem(text, source, place, what)
    return profile


def _inconsistencies(profile: Profile) -> Iterator[tuple[Location, str]]:
    """What the schema alone does not see: place in the document, and what is wrong there."""
    for place, key in profile.cited():
        if key not in profile.sources:
            yield place, f"source {key!r} is not in [sources] (there: {', '.join(profile.sources)})"
    for place, estimates in profile.estimate_lists():
        yield from _list_inconsistencies(place, estimates)
    for term, rates in profile.rate.items():
        for index, rate in enumerate(rates):
            if rate.unit.endswith("B/s") != (term == "memory"):
                right = "MB/s or GB/s" if term == "memory" else "Mop/s, Gop/s or Top/s"
                yield ("rate", term, index, "unit"), f"{rate.unit} is no unit of rate.{term}: use {right}"
    for number, case in enumerate(profile.validation):
        yield from ((("validation", number, key), what) for key, what in _unbillable(profile, case))


def _unbillable(profile: Profile, case: Validation) -> Iterator[tuple[str, str]]:
    """Keys of a validation case that the energy model cannot bill on this platform."""
    for counted in case.counts:
        if not any(estimate.scope != "all_in" for estimate in profile.energy.get(counted, ())):
            yield "counts", f"counts {counted}, which has no energy"
        elif counted not in EVENT_TERMS:
            yield "counts", f"counts {counted}, which no spiking network is billed for"
    if case.work and not profile.rate.get("memory"):
        yield "work", "is work of a processor, and no [[rate.memory]] is stated"
    if (case.duration_us or case.si_unit == "W") and not profile.power.get("static"):
        yield "name", "covers standing power, and no [[power.static]] is stated"


def _list_inconsistencies(place: Location, estimates: Sequence[Estimate]) -> Iterator[tuple[Location, str]]:
    """Estimates of one term become one band, so that they must cover the same things."""
    if sum(estimate.preferred for estimate in estimates) > 1:
        yield place, "more than one estimate is preferred: prefer one"
    usable = [(index, estimate) for index, estimate in enumerate(estimates) if estimate.scope != "all_in"]
    for index, estimate in usable:
        for term in estimate.supersedes:
            if term not in TERM_PATHS:
                yield (*place, index, "supersedes"), f"{term} is no term: use one such as energy.hop"
        if set(estimate.supersedes) != set(usable[0][1].supersedes):
            yield (*place, index), "supersedes other terms than the estimate before it: one band, one scope"


def _explain(error: ErrorDetails) -> str:
    """What is wrong in one clause, with the value found."""
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["loc"] and error["loc"][-1] == "[key]":
        return f"unknown term: {error['msg'].removeprefix('Input ')}"
    what = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    what = what[0].lower() + what[1:]
    return what if error["type"] in ("missing", "value_error") else f"{what}, not {str(error['input'])[:60]!r}"


def _problem(text: str, source: str, place: Location, what: str) -> ProfileError:
    keys = tuple(part for part in place if part != "[key]")
    return ProfileError(f"{source}:{line_of(text, keys)}: {'.'.join(map(str, keys)) or 'profile'}: {what}")


def line_of(text: str, place: Location) -> int:
    """Line (from 1) at which the longest part of ``place`` that the document writes out begins; 1 if there is none."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if _STATEMENT.match(line)]
    ends = [*starts[1:], len(lines)]
    for length in range(len(place), 0, -1):
        if _is_written(lines, ends[-1:], place[:length]):
            found = bisect_left(range(len(starts)), True, key=lambda n: _is_written(lines, ends[n:], place[:length]))
            return starts[found] + 1
    return 1


def _is_written(lines: Sequence[str], ends: Sequence[int], place: Location) -> bool:
    """Whether the first of the ``ends`` up to which the lines are a document, no value cut, has ``place`` before it."""
    for end in ends[:_MOST_PARTS]:
        with contextlib.suppress(ValueError):
            return _holds(parse_toml("\n".join(lines[:end])), place)
    return False


def _holds(found: Any, place: Location) -> bool:
    try:
        for part in place:
            found = found[part]
    except (LookupError, TypeError):
        return False
    return True
