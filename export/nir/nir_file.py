"""Reading and writing NIR files."""

from pathlib import Path

import nir

from export.nir.metadata import KEY, Metadata, parse_metadata
from spikinghash.errors import GraphError


def write_nir(path: Path, graph: nir.NIRGraph, metadata: Metadata) -> None:
    """Write ``graph`` with ``metadata``. Byte-deterministic; gzip inside."""
    graph.metadata[KEY] = metadata.model_dump_json()
    nir.write(str(path), graph)


def read_nir(path: Path) -> nir.NIRGraph:
    """Read any NIR file.

    Raises:
        GraphError: it is missing, not a NIR file, truncated, or holds primitives that nir does not know.
    """
    if not Path(path).is_file():
        raise GraphError(f"{path}: no such file")
    try:
        graph = nir.read(str(path))
    except Exception as error:  # nir and h5py raise whatever a broken file leads them to
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise GraphError(f"{path}: not a readable NIR file ({reason}): export it again") from None
    if not isinstance(graph, nir.NIRGraph):
        raise GraphError(f"{path}: holds a single {type(graph).__name__}, not a graph")
    return graph


def read_metadata(graph: nir.NIRGraph, source: str) -> Metadata | None:
    """Metadata of an encoder, or ``None`` for a graph of another origin.

    Raises:
        GraphError: the metadata are broken or of another version.
    """
    text = graph.metadata.get(KEY)
    if text is None:
        return None
    return parse_metadata(text.decode() if isinstance(text, bytes) else str(text), source)


def read_encoder(path: Path) -> tuple[nir.NIRGraph, Metadata]:
    """Read an encoder that ``export.to_nir`` wrote.

    Raises:
        GraphError: the file cannot be read or is no encoder of this project.
    """
    graph = read_nir(path)
    metadata = read_metadata(graph, str(path))
    if metadata is None:
        raise GraphError(
            f"{path}: a NIR graph, but no encoder: it lacks the metadata '{KEY}'; run it with --input instead"
        )
    return graph, metadata
