"""Damaged event files of every format: events of the sensor in order of time, or one line, soon and in little memory.

Most formats have no checksums: what is read of a damaged file may be other events than were written, but no impossible
ones, and from what the damage left out nothing is made up.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin

from spikinghash.errors import RecordingError
from tests.damage import AT_LEISURE, BY_HAND, EXAMPLES, LONGEST_LINE, bounded, cut, flipped, overwritten
from tests.event_files import FORMATS
from tests.library_files import ROWS, write_aedat_struct, write_bag, write_columns, write_es
from training.data.events import SensorSize
from training.data.recordings import Recording, load_recording

pytestmark = AT_LEISURE
SENSOR: SensorSize = (64, 48, 2)
BAGS = {"bag": None, "db3": StoragePlugin.SQLITE3, "mcap": StoragePlugin.MCAP}
LIBRARIES: dict[str, Callable[[Path], object]] = {
    "a.es": write_es, "struct.mat": write_aedat_struct, "columns.mat": write_columns,
}  # fmt: skip
KINDS = [*FORMATS, *LIBRARIES, *(f"{what} {kind}" for what in ("array", "mono", "evt3") for kind in BAGS)]
DAMAGE = (flipped, cut, overwritten)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, bytes]]:
    """One of every kind, by name, and its content."""
    paths: dict[str, Path] = {}
    for name, (suffix, write, sensor, _) in FORMATS.items():
        paths[name] = tmp_path_factory.mktemp("file") / f"a{suffix}"
        rows = [(x, y, t - 4_900_000, p) for x, y, t, p in ROWS]  # within the 23 bits of .bin
        write(paths[name], rows, *sensor)
    for name, write_one in LIBRARIES.items():
        paths[name] = tmp_path_factory.mktemp("file") / name
        write_one(paths[name])
    for what in ("array", "mono", "evt3"):
        for kind, plugin in BAGS.items():
            folder = tmp_path_factory.mktemp("bag") / ("a.bag" if plugin is None else "bag")
            paths[f"{what} {kind}"] = write_bag(folder, {"/events": what}, plugin)
    return {name: (path, path.read_bytes()) for name, path in paths.items()}


def had(path: Path, sensor: SensorSize) -> Recording | RecordingError:
    """What a command has of a file: its events, of which it makes frames, or a message."""
    with bounded(path.stat().st_size):
        try:
            found = load_recording(path, sensor)
            found.frames(4, 32)
        except RecordingError as error:
            return error
    return found


def check_possible(found: Recording | RecordingError, most: int) -> None:
    """Check that it is a message of one line, or at most ``most`` events as a sensor can have them."""
    if isinstance(found, RecordingError):
        assert found.exit_code == 2
        lines = [str(found)]
    else:
        events, lines = found.events, list(found.notes)
        assert len(events) <= most
        assert (np.diff(events["t"]) >= 0).all()
        for axis, limit in zip("xy", found.sensor[:2], strict=True):
            assert events[axis].min() >= 0
            assert events[axis].max() < limit
    assert all(line.isprintable() and 0 < len(line) < LONGEST_LINE for line in lines)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda one: one.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_recordings_are_possible_ones_or_refused(
    kind: str, damage: Callable[[bytes, st.DataObject], bytes], files: dict[str, tuple[Path, bytes]]
) -> None:
    path, content = files[kind]
    sensor = (*FORMATS[kind][2], 2) if kind in FORMATS else SENSOR
    whole = had(path, sensor)
    assert isinstance(whole, Recording)
    assert len(whole.events) == len(ROWS)

    most = EXAMPLES // (20 if kind.endswith(".mat") else 5)

    @settings(max_examples=most, derandomize=not BY_HAND, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        try:
            path.write_bytes(damage(content, data))
            check_possible(had(path, sensor), 8 * len(content))
        finally:
            path.write_bytes(content)

    check()
