"""Arrays that are made once and kept in the user's cache folder."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from spikinghash.arrays import Arrays, read_archive
from spikinghash.errors import WriteError
from spikinghash.files import atomic_path

_log = logging.getLogger(__name__)


def cache_path(name: str, key: Mapping[str, Any]) -> Path:
    """Where the arrays called ``name``, made from the parameters ``key`` (fit for JSON), are kept."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return Path(platformdirs.user_cache_dir("spikinghash")) / f"{name}-{digest}.npz"


def cached(name: str, key: Mapping[str, Any], build: Callable[[], Arrays]) -> Arrays:
    """Return what ``build`` makes, from the cache if an intact file is there; a missing or corrupt one is made anew.

    A cache that cannot be written costs time at the next call, nothing else; a warning is logged.
    """
    path = cache_path(name, key)
    try:
        return read_archive(path)
    except (OSError, ValueError):
        arrays = build()
    try:
        with atomic_path(path) as temporary:
            np.savez(temporary, allow_pickle=False, **arrays)
    except WriteError as error:
        _log.warning("%s", error)
    return arrays
