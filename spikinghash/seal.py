"""Seals: the SHA-256 of a file's content in the file, so that a damaged one is not taken for what was written.

A file without a seal is of a former version or of another program, and is read as it is.
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikinghash.files import read_file

LARGEST_MODEL = 2**31
"""Bytes of a NIR or ONNX file."""
_KEY = "sha256"
_DIGITS = 64
"""Of a SHA-256 in hex."""
_DIFFERS = "not what was written: its SHA-256 differs, so it was damaged or changed"


@dataclass(frozen=True)
class Seal:
    """A seal in a file: ``mark``, then the digest of all else, in hex.

    The mark is such that programs which do not know it read the file as if it were not there. Damage that takes a whole
    seal has to leave the content as it was, or to be seen otherwise.
    """

    mark: bytes
    leads: bool = False
    """Whether it is written before the content, else behind it. Read it is wherever it stands."""
    end: Callable[[bytes], int | None] = lambda content: None
    """Where the content of a file ends as it says itself; ``None`` where it does not. What follows has to be a seal."""

    def sealed(self, content: bytes) -> bytes:
        """``content`` with its seal."""
        seal = self.mark + _hex(content)
        return seal + content if self.leads else content + seal

    def read(self, path: Path) -> bytes:
        """All of the file ``path``, its seal verified if it has one.

        Raises:
            OSError: it cannot be read, is no file or too large.
            ValueError: the seal is that of other content.
        """
        content = read_file(path, LARGEST_MODEL)
        before, mark, after = content.rpartition(self.mark)
        end = self.end(content)
        if mark and after[:_DIGITS] != _hex(before + after[_DIGITS:]):
            raise ValueError(_DIFFERS)
        if not mark and end is not None and end < len(content):
            raise ValueError(_DIFFERS)
        return content


def _hex(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _end_of_hdf5(content: bytes) -> int | None:
    """The address behind the last byte, from the superblock (HDF5 File Format Specification 3.0, II.A)."""
    place = _END_PLACES.get(content[8]) if content.startswith(_HDF5) and len(content) > _SUPERBLOCK else None
    return None if place is None else int.from_bytes(content[place : place + 8], "little")


_HDF5, _SUPERBLOCK, _END_PLACES = b"\x89HDF\r\n\x1a\n", 96, {0: 40, 1: 44, 2: 28, 3: 28}
"""Signature, largest size, and where the address stands in each version, all with addresses of eight bytes."""

NIR = Seal(b"\nspikinghash sha256 ", end=_end_of_hdf5)
"""HDF5 reads no further than its superblock says."""

_PROPERTY = b"\x0a\x12spikinghash.sha256\x12\x40"
ONNX = Seal(b"\x72" + bytes([len(_PROPERTY) + _DIGITS]) + _PROPERTY, leads=True)
"""An entry of ``metadata_props`` (field 14: a key, and a value of 64 letters): protobuf takes fields in any order."""


def sealed_json(text: str) -> str:
    """The JSON object ``text`` with the digest of its values as a last key, on a line of its own."""
    start = text.rstrip().removesuffix("}").rstrip()
    return f'{start},\n "{_KEY}": "{_digest(json.loads(text))}"\n}}\n'


def sealed_row(values: dict[str, Any]) -> dict[str, Any]:
    """``values``, fit for JSON, with their digest as a last key.

    Raises:
        ValueError: they have a value under that key, which would be lost.
    """
    if _KEY in values:
        raise ValueError(f"{_KEY}: the key of a row's digest is taken: name the value otherwise")
    return values | {_KEY: _digest(values)}


def parse_json(content: bytes | str) -> Any:
    """The values of a JSON document: an object, or a list of objects, without their seals, which are verified.

    Raises:
        json.JSONDecodeError: it is not JSON.
        ValueError: the seal is that of other values, or a number is not finite.
    """
    try:
        values = json.loads(content, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    for each in values if isinstance(values, list) else [values]:
        if isinstance(each, dict) and _KEY in each and each.pop(_KEY) != _digest(each):
            raise ValueError(f"{_DIFFERS}: make it again, or take the key {_KEY} out to use it as it is")
    return values


def verified_json(content: bytes | str) -> str:
    """A JSON document as ``parse_json`` reads it, in JSON again: schemas take it more loosely than values."""
    return json.dumps(parse_json(content))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is no number that can be held")
    return value


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
