"""Arrays from files that others wrote."""

import math
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import GraphError, in_one_line
from spikinghash.files import require_file

LARGEST_ARCHIVE = 2**32
"""Bytes of all arrays of a file, unpacked: compressed ones claim more than the file holds."""

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]
"""Arrays by name."""

# NumPy does not document what it raises: it parses the headers of arrays as Python source. RuntimeError is zipfile's,
# over members that claim to be encrypted, or compressed in a way that it does not know.
_DAMAGED = (ValueError, EOFError, OverflowError, SyntaxError, TypeError, TokenError)
_DAMAGED_ARCHIVE = (*_DAMAGED, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read_archive(path: Path) -> Arrays:
    """The arrays of the ``.npz`` file ``path`` by their names; the format checks the CRC of each.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, of another format, or holds objects.
    """
    require_file(path)
    with path.open("rb") as file:
        return unpack_archive(file)


def unpacked_size(path: Path) -> int:
    """Bytes of all arrays of the ``.npz`` file ``path``, unpacked, as it claims.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or of another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    except _DAMAGED_ARCHIVE as error:
        raise ValueError(in_one_line(error)) from None


def unpack_archive(file: BinaryIO) -> Arrays:
    """The arrays of an ``.npz`` file by their names; see ``read_archive``.

    Raises:
        ValueError: it is damaged, of another format, or holds objects.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            _check_claims(archive.zip)
            return dict(archive)
    except _DAMAGED_ARCHIVE as error:
        raise ValueError(in_one_line(error)) from None


def _check_claims(archive: zipfile.ZipFile) -> None:
    """Refuse arrays not as large as their members, or all together larger than is good, before memory is taken.

    The CRC of a member is checked where its end is read: an array that claims less would be taken unchecked.
    """
    members = archive.infolist()
    if (total := sum(member.file_size for member in members)) > LARGEST_ARCHIVE:
        raise ValueError(f"its arrays hold {total:,} bytes, at most {LARGEST_ARCHIVE:,} are read")
    for member in members:
        with archive.open(member) as file:
            readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if (read_header := readers.get(np.lib.format.read_magic(file))) is None:
                raise ValueError(f"{member.filename} is of an unknown version")
            shape, _, dtype = read_header(file)
            there = member.file_size - file.tell()
        if min(shape, default=0) < 0 or (not dtype.hasobject and math.prod(shape) * dtype.itemsize != there):
            raise ValueError(f"{member.filename} claims shape {shape} of {dtype}, its member has {there:,} bytes")


def read_spikes(source: Path) -> Floats:
    """The array ``spikes`` of an .npz file, float32 (samples, steps, ...).

    Raises:
        GraphError: it is missing, or has too few axes.
    """
    try:
        spikes = np.asarray(read_archive(source)["spikes"], np.float32)
    except (OSError, ValueError, KeyError) as error:
        what = f"no .npz file with an array 'spikes' (samples, steps, ...): {in_one_line(error)}"
        raise GraphError(f"{source}: {what}") from None
    if spikes.ndim < 3:
        raise GraphError(f"{source}: spikes has shape {spikes.shape}, at least (samples, steps, neurons) is needed")
    if not np.isfinite(spikes).all():
        raise GraphError(f"{source}: spikes holds values that are not finite: give numbers")
    return spikes


def _check_header(path: Path) -> None:
    """Refuse a header that is longer than the file, before memory for it is taken."""
    with path.open("rb") as file:
        begin = file.read(12)
    if len(begin) == 12 and begin[6] > 1 and (length := int.from_bytes(begin[8:], "little")) > path.stat().st_size:
        raise ValueError(f"its header claims {length:,} bytes, the file has {path.stat().st_size:,}")


def map_array(path: Path) -> NDArray[Any]:
    """The array of numbers in the ``.npy`` file ``path``, mapped: a length that the file claims is not allocated.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, holds objects, or several arrays.
    """
    try:
        require_file(path)
        _check_header(path)
        with np.errstate(over="ignore"):  # an absurd shape is refused, and warned of besides
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (*_DAMAGED, zipfile.BadZipFile) as error:
        raise ValueError(in_one_line(error)) from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("several arrays; numpy.save writes one")
    return array
