"""What a process of its own makes of a MATLAB file: ``python -m training.data.formats.matlab_process FILE``.

The structure ``aedat`` that iniVation's AedatTools import (``aedat.data.polarity`` with ``timeStamp``, ``x``, ``y`` and
``polarity``; ``aedat.info.deviceAddressSpace`` is the sensor), or columns x, y, t and p of any usual names, at the top
or in a structure. Times are microseconds, or seconds where one of them is no whole number.
"""

import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spikinghash.errors import RecordingError, in_one_line
from training.data.events import FIELDS, Decoded, SensorSize, find_fields, pack_events
from training.data.formats.arrays import check_unpacked

_HEADER = 128
"""Bytes before the first element."""
_PACKED = 15
"""Type of an element that is compressed."""
_AT_ONCE = 1 << 20


REFUSED = 2
"""Exit code; the message is on standard error."""


def decode(path: Path) -> Decoded:
    """Events of the file ``path``.

    Raises:
        RecordingError: it is damaged, of version 7.3, or holds no events.
    """
    import scipy.io

    try:
        check_unpacked(_unpacked(path.read_bytes()), path)
        content = scipy.io.loadmat(path, simplify_cells=True)
    except NotImplementedError:
        raise RecordingError(f"{path}: MATLAB 7.3, which is not read; save it with -v7 in MATLAB") from None
    except RecordingError:
        raise
    except Exception as error:  # what SciPy makes of damaged files
        raise RecordingError(f"{path}: damaged, or no .mat file: {in_one_line(error)}; save it again") from None
    for found in _tables(content):
        columns = {field: np.atleast_1d(found[name]).ravel() for field, name in find_fields(found).items()}
        if len({len(column) for column in columns.values()}) != 1:
            raise RecordingError(
                f"{path}: {[len(column) for column in columns.values()]} values; x, y, t, p need as many"
            )
        notes: tuple[str, ...] = ()
        if columns["t"].dtype.kind == "f" and (columns["t"] != np.rint(columns["t"])).any():
            columns["t"] = np.rint(columns["t"] * 1e6)
            notes = ("times with fractions were taken for seconds",)
        return Decoded(pack_events(columns, str(path)), _sensor(content), notes)
    raise RecordingError(f"{path}: no structure in it has x, y, t and p; save what ImportAedat of AedatTools returns")


def _unpacked(content: bytes) -> int:
    """Bytes of the elements of a file of version 5 to 7, unpacked."""
    total, start = 0, _HEADER
    while start + 8 <= len(content):
        kind, size = np.frombuffer(content, "<u4", 2, start).tolist()
        start += 8
        if kind == _PACKED:
            unpacker, packed = zlib.decompressobj(), content[start : start + size]
            while packed and not unpacker.eof:
                total += len(unpacker.decompress(packed, _AT_ONCE))
                packed = unpacker.unconsumed_tail
        start += size
    return total


def _tables(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Structures that have all fields of events, outermost first."""
    if len(find_fields(content)) == len(FIELDS):
        yield content
    for value in content.values():
        if isinstance(value, Mapping):
            yield from _tables(value)


def _sensor(content: Mapping[str, Any]) -> SensorSize | None:
    """The sensor that AedatTools note."""
    try:
        width, height = (int(number) for number in content["aedat"]["info"]["deviceAddressSpace"])
    except (KeyError, TypeError, ValueError):
        return None
    return width, height, 2


def main() -> None:
    """Write sensor and notes of the file that is named as a line of JSON, and its events in NumPy's format."""
    try:
        found = decode(Path(sys.argv[1]))
    except RecordingError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)
    sys.stdout.buffer.write(json.dumps({"sensor": found.sensor, "notes": found.notes}).encode() + b"\n")
    np.save(sys.stdout.buffer, found.events)


if __name__ == "__main__":
    main()
