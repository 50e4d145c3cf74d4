"""Is an index folder whole: manifest, encoder and codes, each by itself and with each other; and making it so again."""

from collections.abc import Iterator
from pathlib import Path

from deploy.search.manifest import Manifest
from deploy.search.store import discard_index, encoder_path, open_index, save_index
from spikinghash.errors import SearchError


def faults(folder: Path, manifest: Manifest) -> Iterator[str]:
    """What is wrong with the index ``folder``, a line each; every row and every code is looked at.

    Raises:
        SearchError: the manifest cannot be read.
    """
    yield from (f"{manifest.path}: {fault}" for fault in manifest.faults())
    if manifest.total() is None:
        yield f"{manifest.path}: made by a former version, nothing in it is sealed"
    damaged = manifest.damaged()
    yield from (f"{manifest.path}: recording {id} is damaged" for id in damaged)
    try:
        manifest.thumbnails()
    except SearchError as error:
        if not damaged:
            yield str(error)
    try:
        encoder_path(folder, manifest.facts)
    except SearchError as error:
        yield str(error)
    try:
        open_index(folder, manifest)
    except SearchError as error:
        if not damaged:  # else it says the same
            yield str(error)


def repair(folder: Path, manifest: Manifest) -> int:
    """Make the index ``folder`` whole from what is intact of it; returns how many recordings have to be encoded again.

    Damaged recordings and thumbnails are taken out, the index is made anew from the manifest, and everything is sealed.

    Raises:
        SearchError: the manifest is beyond repair, or the encoder is not the one that made the codes.
    """
    if beyond := manifest.faults():
        raise SearchError(f"{manifest.path}: beyond repair ({beyond[0]}): build again in another folder")
    encoder_path(folder, manifest.facts)
    damaged = manifest.damaged()
    manifest.mend(damaged)
    discard_index(folder)
    save_index(folder, open_index(folder, manifest))
    return len(damaged)
