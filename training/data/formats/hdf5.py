"""HDF5 (``.h5``, ``.hdf5``): the layouts of DSEC and of the Robotics and Perception Group's tools, read by h5py.

A group of one array for each of x, y, t and p, ``events/{x,y,t,p}`` or ``events/{xs,ys,ts,ps}`` or all at the top.
Times are seconds where they are floating-point numbers, else microseconds, or what their attribute ``units`` says. A
number ``t_offset`` at the top, in microseconds, is added. An attribute ``sensor_resolution`` (width and height, in
either order: a sensor is taken to be wider than high) tells the sensor.

What h5py cannot unpack by itself is left to the library ``hdf5plugin``: the files of DSEC are packed by Blosc.
Prophesee's HDF5 (``CD/events``) is packed by a filter of its own, which HDF5 finds where the vendor's plugin is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError, in_one_line
from spikinghash.extras import told_of_extras
from training.data.events import FIELDS, Asked, Decoded, SensorSize, find_fields, pack_events
from training.data.formats.arrays import check_columns, check_unpacked

MOST_EVENTS = 1 << 26
"""A file that claims more is refused before memory is taken."""
_LATEST = 2.0**62
"""Microseconds."""
_PLURALS = ("xs", "ys", "ts", "ps")
_ECF = 0x8ECF
"""Number of Prophesee's filter."""
_UNITS = {"s": 1e6, "seconds": 1e6, "ms": 1e3, "us": 1.0, "microseconds": 1.0, "ns": 1e-3}


def read(path: Path, _: Asked) -> Decoded:
    """Events of the file ``path``.

    Raises:
        RecordingError: it is damaged, of another layout, or packed by a filter that hdf5plugin does not have.
        MissingToolError: hdf5plugin is needed and not installed.
    """
    import h5py  # slow to import, and seldom needed

    try:
        with h5py.File(path, "r") as file:
            return _read_prophesee(file, path) if "CD/events" in file else _read_columns(file, path)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, OverflowError) as error:  # as h5py takes damage
        raise RecordingError(
            f"{path}: damaged, or no HDF5 file that can be read: {in_one_line(error)}; copy the file or write it again"
        ) from None


def _read_columns(file: Any, path: Path) -> Decoded:
    group = file.get("events", file)
    if not hasattr(group, "keys"):
        raise ValueError("events is an array, a group of arrays is needed")
    original = {name.removesuffix("s") if name in _PLURALS else name: name for name in group}
    arrays = {field: _array(group[original[name]]) for field, name in find_fields(original).items()}
    check_columns(group, arrays, {array.shape for array in arrays.values()}, path)
    _check_size([*arrays.values()], path)
    _load_filters([*arrays.values()], path)
    columns = {field: arrays[field][()] for field in FIELDS}
    scale = _scale(arrays["t"])
    if scale != 1:
        columns["t"] = _whole(columns["t"], scale)
    if "t_offset" in file:
        columns["t"] = columns["t"].astype(np.int64) + int(file["t_offset"][()])
    notes = (f"times were taken for {'seconds' if scale == 1e6 else f'{scale:g} us each'}",) * (scale != 1)
    return Decoded(pack_events(columns, str(path)), _sensor(file, group), notes)


def _read_prophesee(file: Any, path: Path) -> Decoded:
    stored = _array(file["CD/events"])
    if missing := [field for field in FIELDS if field not in (stored.dtype.names or ())]:
        raise ValueError(f"CD/events has no field {', '.join(missing)}")
    _check_size([stored], path)
    _load_filters([stored], path)
    events = stored[()]
    width, height = (int(file.attrs.get(name, 0)) for name in ("width", "height"))
    sensor = (width, height, 2) if width and height else None
    return Decoded(pack_events({field: events[field] for field in FIELDS}, str(path)), sensor)


def _array(item: Any) -> Any:
    """An array of a file.

    Raises:
        ValueError: it is something else.
    """
    if not getattr(item, "shape", None):
        raise ValueError(f"{item.name} is no array")
    return item


def _check_size(arrays: Sequence[Any], path: Path) -> None:
    """Refuse more than is good before memory is taken, and what is kept in other files."""
    from spikinghash.hdf5 import claimed_bytes

    if (count := len(arrays[0])) > MOST_EVENTS:
        raise RecordingError(f"{path}: {count} events, at most {MOST_EVENTS} are read; cut the recording into parts")
    if len({array.file.filename for array in arrays} | {str(path)}) > 1:
        raise ValueError(f"{arrays[0].name} is kept in another file")
    check_unpacked(sum(map(claimed_bytes, arrays)), path)


def _load_filters(arrays: Sequence[Any], path: Path) -> None:
    """See to it that HDF5 can unpack ``arrays``."""
    missing = _missing_filters(arrays)
    if missing - {_ECF}:
        with told_of_extras():
            import hdf5plugin  # noqa: F401  that it is imported makes its filters known
        missing = _missing_filters(arrays)
    if _ECF in missing:
        raise RecordingError(
            f"{path}: packed by Prophesee's filter ECF, which no Python package has: build the vendor's plugin "
            "(github.com/prophesee-ai/hdf5_ecf) and name its folder in the environment variable HDF5_PLUGIN_PATH"
        )
    if missing:
        raise RecordingError(
            f"{path}: packed by the HDF5 filter {min(missing)}, which hdf5plugin does not have: name the folder of its "
            "plugin in the environment variable HDF5_PLUGIN_PATH, or write the file again with gzip"
        )


def _missing_filters(arrays: Sequence[Any]) -> set[int]:
    """Numbers of the filters that ``arrays`` were packed by and HDF5 does not find."""
    import h5py

    lists = [array.id.get_create_plist() for array in arrays]
    used = {each.get_filter(place)[0] for each in lists for place in range(each.get_nfilters())}
    return {number for number in used if not h5py.h5z.filter_avail(number)}


def _scale(times: Any) -> float:
    """Microseconds of a unit of ``times``."""
    unit = times.attrs.get("units", times.attrs.get("unit"))
    if unit is not None:
        name = unit.decode() if isinstance(unit, bytes) else str(unit)
        if name not in _UNITS:
            raise ValueError(f"times in {name!r}, known are {', '.join(_UNITS)}")
        return _UNITS[name]
    return 1e6 if times.dtype.kind == "f" else 1.0


def _whole(times: NDArray[Any], scale: float) -> NDArray[np.int64]:
    """``times`` in whole microseconds."""
    with np.errstate(over="ignore"):
        scaled = np.rint(times * scale)
    if not (np.abs(scaled) < _LATEST).all():
        raise ValueError(f"a time is {times[~(np.abs(scaled) < _LATEST)][0]}, which is none")
    return scaled.astype(np.int64)


def _sensor(file: Any, group: Any) -> SensorSize | None:
    told = file.attrs.get("sensor_resolution", group.attrs.get("sensor_resolution"))
    if told is None:
        return None
    height, width = sorted(int(number) for number in np.ravel(told)[:2])
    return width, height, 2
