"""The files of an index folder: the manifest, the encoder's copy, and the index that is made from the manifest."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from deploy.search.faiss_index import FlatIndex
from deploy.search.index import CodeIndex
from deploy.search.manifest import Facts, Manifest
from deploy.search.milvus_index import MilvusIndex, MilvusSettings
from deploy.search.proof import sum_of_codes
from spikinghash.errors import SearchError
from spikinghash.files import atomic_path, file_sha256
from training.data.reader import Reader

Kind = Literal["flat", "milvus-flat", "milvus-ivf"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_CODES = "codes.npz"
_MILVUS = "milvus.json"
_LOCK = "lock"


def open_or_create(
    folder: Path,
    encoder: Path,
    bits: int,
    kind: Kind,
    milvus: str | None,
    reader: Reader | None = None,
) -> Manifest:
    """The manifest of ``folder``, made with a copy of ``encoder`` if there is none.

    Args:
        reader: how recordings are read.

    Raises:
        SearchError: the folder holds an index of another encoder, of another kind or for another sensor.
    """
    if (milvus is None) == kind.startswith("milvus"):
        raise SearchError(f"--kind {kind}: --milvus ADDRESS goes with milvus-flat and milvus-ivf, and only with them")
    if milvus is not None and not milvus.startswith(("http://", "https://")):
        milvus = os.path.abspath(milvus)
    digest, reader = sha256_of(encoder), reader or Reader()
    if not Manifest.exists(folder):
        copy = f"encoder{encoder.suffix}"
        with atomic_path(folder / copy) as temporary:
            shutil.copyfile(encoder, temporary)
        facts = Facts(encoder=copy, encoder_sha256=digest, bits=bits, kind=kind, milvus=milvus, **_facts_of(reader))
        manifest = Manifest.create(folder, facts)
    else:
        manifest = Manifest(folder)
    facts = manifest.facts
    if facts.encoder_sha256 != digest:
        raise SearchError(
            f"{folder}: holds codes of the encoder {facts.encoder_sha256[:12]}, but {encoder} is {digest[:12]}; their "
            "codes cannot be compared: give another --index"
        )
    _check_reader(folder, facts.reader, reader)
    if (facts.kind, facts.milvus) != (kind, milvus):
        raise SearchError(
            f"{folder}: is an index of kind {facts.kind} ({facts.milvus or 'in memory'}), not {kind} "
            f"({milvus or 'in memory'}): give another --index"
        )
    return manifest


def _facts_of(reader: Reader) -> dict[str, Any]:
    facts: dict[str, Any] = {"sensor": reader.sensor, "stream": reader.stream, "sort": reader.sort, "crop": reader.crop}
    if reader.windows is not None:
        facts |= {"window_us": reader.windows.length, "hop_us": reader.windows.hop}
    return facts


def _check_reader(folder: Path, made: Reader, asked: Reader) -> None:
    for name in ("sensor", "stream", "sort", "crop"):
        before, now = getattr(made, name), getattr(asked, name)
        if before != now:
            raise SearchError(f"{folder}: made with --{name} {before}, not {now}: give another --index")
    if made.windows != asked.windows:
        of, not_of = made.windows or "whole recordings", asked.windows or "whole recordings"
        raise SearchError(f"{folder}: made of {of}, not of {not_of}: give another --index")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Be the only one who writes to ``folder``; what a writer that was killed left half done is removed.

    Raises:
        SearchError: another process writes to it.
    """
    if folder.exists() and not folder.is_dir():
        raise SearchError(f"{folder}: a file; --index is a folder")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when the process ends, however it ends
        except BlockingIOError:
            raise SearchError(f"{folder}: another process is writing to this index: wait until it is done") from None
        for left in (path for name in (_CODES, _MILVUS, "encoder") for path in folder.glob(f".{Path(name).stem}.*")):
            left.unlink()
        yield


def encoder_path(folder: Path, facts: Facts) -> Path:
    """The encoder's copy in ``folder``.

    Raises:
        SearchError: it is missing, or not what the codes were made with.
    """
    path = folder / facts.encoder
    if not path.is_file():
        raise SearchError(f"{path}: the index's encoder is missing: copy it back, or build again in another folder")
    if sha256_of(path) != facts.encoder_sha256:
        raise SearchError(
            f"{path}: not the encoder that made the codes (SHA-256 is not {facts.encoder_sha256[:12]}...): copy it "
            "back, or build again in another folder"
        )
    return path


def open_index(folder: Path, manifest: Manifest) -> CodeIndex:
    """The index of ``folder``, completed with what the manifest has and the index has not.

    Raises:
        SearchError: a file is damaged, or the index holds other codes than the manifest.
    """
    with manifest.snapshot():
        return _opened(folder, manifest)


def _opened(folder: Path, manifest: Manifest) -> CodeIndex:
    index = _open_milvus(folder, manifest.facts) if manifest.facts.milvus else _open_faiss(folder, manifest.facts)
    retired, known = manifest.retired(), len(index)
    if len(retired):
        known -= index.remove(retired)
    if known != len(manifest):
        codes, ids = manifest.codes()
        lacking = index.lacking(ids)
        if lacking.any():
            index.add(codes[lacking], ids[lacking])
    if len(index) != len(manifest):
        raise SearchError(
            f"{folder}: the index holds {known} codes, some of them not among the {len(manifest)} of the manifest: "
            f"delete {_CODES} or the Milvus collection, it is made anew"
        )
    if manifest.total() not in (None, sum_of_codes(*index.contents())):
        raise SearchError(
            f"{folder}: the codes or the manifest are damaged, their codes differ: `deploy.search check {folder} "
            "--repair` tells and mends"
        )
    return index


def discard_index(folder: Path) -> None:
    """Remove the codes that are kept beside the manifest; ``open_index`` makes them anew. A Milvus collection stays."""
    (folder / _CODES).unlink(missing_ok=True)


def save_index(folder: Path, index: CodeIndex) -> None:
    """Write ``index`` where ``open_index`` finds it."""
    index.save(folder / (_MILVUS if isinstance(index, MilvusIndex) else _CODES))


def _open_faiss(folder: Path, facts: Facts) -> CodeIndex:
    path = folder / _CODES
    if not path.exists():
        return FlatIndex(facts.bits)
    index = FlatIndex.load(path)
    if index.bits != facts.bits:
        raise SearchError(f"{path}: codes of {index.bits} bits, the manifest says {facts.bits}: delete it")
    return index


def _open_milvus(folder: Path, facts: Facts) -> MilvusIndex:
    path = folder / _MILVUS
    if path.exists():
        return MilvusIndex.load(path)
    # The name is the same whenever a build that was killed is run again.
    name = "distinct_" + hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    assert facts.milvus is not None
    kind = "BIN_FLAT" if facts.kind == "milvus-flat" else "BIN_IVF_FLAT"
    return MilvusIndex(MilvusSettings(uri=facts.milvus, collection=name, bits=facts.bits, kind=kind))


def sha256_of(path: Path) -> str:
    """Digest of an encoder's file, in hex.

    Raises:
        SearchError: it cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise SearchError(f"{path}: cannot be read: {error.strerror}") from None
