"""HDF5 files that others wrote: what they claim is looked at before memory is taken."""

import math

import h5py

LARGEST_RATIO = 1032
"""Of what gzip packs to its packed form (RFC 1951: a copy of 258 bytes takes at least two bits)."""
UNPACKED = 2**26
"""Bytes of an array that may be packed in any way."""


def claimed_bytes(dataset: h5py.Dataset) -> int:
    """Bytes that reading ``dataset`` takes.

    Raises:
        ValueError: it is kept in another file, or claims more than its stored bytes can be unpacked to.
    """
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{dataset.name} is kept in another file")
    size, stored = dataset.dtype.itemsize * math.prod(dataset.shape or ()), int(dataset.id.get_storage_size())
    if size > max(UNPACKED, LARGEST_RATIO * stored):
        raise ValueError(f"{dataset.name} claims {size:,} bytes, {stored:,} are stored")
    return max(size, dataset.dtype.itemsize * math.prod(dataset.chunks or ()))
