"""Reading what a report is made of: the traced counts, the encoder's sizes, retrieval figures, measured hosts."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.backends.as_nir import as_nir
from deploy.energy.ann_network import AnnNetwork
from deploy.energy.compiled import read_compiled
from deploy.report.build import Form, Inputs
from deploy.report.results import Selection, Weights, read_results, select
from export.synaptic.counted import read_network
from export.synaptic.counts import NetworkCounts
from export.synaptic.populations import SynapseNetwork
from spikinghash.errors import GraphError, MissingToolError, RecordingError
from spikinghash.extras import told_of_extras
from spikinghash.files import read_file
from spikinghash.resources import RESULTS
from training.config import EncoderConfig
from training.data.reader import Reader

DEFAULT_RECORDINGS = range(0, 5000, 250)
"""Digits that are traced when no recording is named: two of each class."""
TRACED = 200
"""Windows that are traced at most, about; of more, evenly spread ones."""
DIGITS = "digits, simulated"
SHOWN_MS = 300
"""How long a picture, which has no duration, is taken to be shown: as long as N-MNIST shows one to its camera."""
COMPILED = RESULTS / "microcontroller.json"
COMMITTED = ("results", "sparsity", "classes")
"""Names of the committed figures in docs, which come along with the package."""
DEFAULT_RESULTS = tuple(RESULTS / f"{name}.json" for name in COMMITTED)


@dataclass(frozen=True)
class Encoder:
    """What the encoder's file says about itself; ``sizes`` is ``None`` where it says nothing."""

    weights: Weights | None = None
    """``None`` without a file."""
    sizes: EncoderConfig | None = None
    note: str = ""
    """Why there are no conventional networks to compare with."""


def read_inputs(
    encoder: Path | None,
    recordings: Sequence[Path],
    counts: Path | None,
    results: Path | None,
    dataset: str,
    others: Sequence[Path] = (),
    asked: Reader | None = None,
) -> Inputs:
    """Everything about the networks.

    Args:
        encoder: as ``as_nir`` takes it.
        dataset: overrides what the encoder was trained on, unless empty.
        others: the same encoder, lowered otherwise.
        asked: how recordings are read, where they are not read as those of the training.

    Raises:
        GraphError: a file cannot be used; the message says which and why.
    """
    if others and (counts is not None or encoder is None):
        raise GraphError(f"--form {others[0]}: counts are of one graph alone: give the encoder, and no --counts")
    with nullcontext() if encoder is None else as_nir(encoder) as graph:
        return _read(graph, recordings, counts, results, dataset, others, asked)


def _read(
    encoder: Path | None,
    recordings: Sequence[Path],
    counts: Path | None,
    results: Path | None,
    dataset: str,
    others: Sequence[Path],
    asked: Reader | None,
) -> Inputs:
    about = read_about(encoder, dataset)
    selection, source = read_selection(results, about)
    networks, lacking = _networks(about, selection, source)
    synapses = read_network(encoder) if encoder else None
    traced = read_counts(encoder, recordings, counts, asked, synapses)
    notes = [note for note in (about.note, lacking) if note]
    return Inputs(
        counts=traced,
        name=_form(encoder) if encoder else "",
        others=tuple(_other_form(encoder, path, recordings, asked) for path in others if encoder),
        networks=networks,
        selection=selection,
        synapses=synapses,
        programs=read_compiled(COMPILED, about.weights.sha256) if about.weights and COMPILED.exists() else {},
        weights=about.weights,
        bits=about.weights.bits if about.weights and about.weights.figure == "mAP" else None,
        notes=notes,
    )


def _networks(about: Encoder, selection: Selection, source: str) -> tuple[tuple[AnnNetwork, ...], str]:
    """What the encoder is compared with, and why there is nothing where there is not."""
    try:
        return tuple(baselines(about.sizes, selection, source)), ""
    except MissingToolError as error:
        return (), f"No conventional networks, which are counted as their modules run: {error}."


def _other_form(encoder: Path, other: Path, recordings: Sequence[Path], asked: Reader | None) -> Form:
    """Another graph of the encoder.

    Raises:
        GraphError: it is of another checkpoint.
    """
    from export.nir.metadata import read_encoder

    one, another = (read_encoder(path)[1].checkpoint_sha256 for path in (encoder, other))
    if one != another:
        raise GraphError(
            f"--form {other}: it is checkpoint {another[:12]}, {encoder} is {one[:12]}: export both from one checkpoint"
        )
    synapses = read_network(other)
    return Form(_form(other), _described(_trace(other, recordings, asked, synapses), str(other)), synapses)


def _form(encoder: Path) -> str:
    from export.nir.metadata import read_encoder

    return read_encoder(encoder)[1].form


def read_counts(
    encoder: Path | None,
    recordings: Sequence[Path],
    counts: Path | None,
    asked: Reader | None = None,
    synapses: SynapseNetwork | None = None,
) -> NetworkCounts:
    """Read counts of an earlier run, or trace recordings now; ``synapses`` are the encoder's, where they are at hand.

    Raises:
        GraphError: no network is named, the counts are of another one, or the file is of a former version.
    """
    if counts is not None:
        if recordings:
            raise GraphError("--counts and --recordings both given: counts already are of certain recordings; give one")
        read = NetworkCounts.from_json(_text(counts), str(counts))
        if encoder is not None:
            read.require_network(encoder, str(counts))
        return _described(read, str(counts))
    if encoder is None:
        raise GraphError("no network: give an encoder (.nir, .onnx or .pt) or --counts counts.json")
    return _described(_trace(encoder, recordings, asked, synapses), str(encoder))


def _described(counts: NetworkCounts, source: str) -> NetworkCounts:
    if counts.natural is None:
        raise GraphError(f"{source}: lacks the work of the encoder before it was lowered: export it again")
    return counts


def _text(path: Path) -> str:
    try:
        return read_file(path).decode()
    except OSError as error:
        raise GraphError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise GraphError(f"{path}: is no text file: give a counts.json") from None


def _trace(
    encoder: Path, recordings: Sequence[Path], asked: Reader | None, synapses: SynapseNetwork | None
) -> NetworkCounts:
    import numpy as np

    from export.nir.metadata import read_encoder
    from export.synaptic.counting import trace_counts
    from training.data import digits
    from training.data.reader import binned
    from training.data.sampling import recording_files
    from training.data.stills import Still

    _, metadata = read_encoder(encoder)
    if not recordings and metadata.dataset not in ("", "digits"):
        raise RecordingError(
            f"{encoder}: trained on {metadata.dataset}, whose recordings a report needs: --recordings FOLDER (figures "
            "of other recordings would be none of this network)"
        )
    asked, sizes = asked or Reader(), (metadata.time_steps, metadata.size)
    reader = Reader.of(metadata.data, asked.sensor).asked(asked.stream, asked.sort)
    files = list(recording_files(recordings))
    found = [binned(reader.read(path), *sizes) for path in files[:: max(1, len(files) // TRACED)]]
    found = found or [binned([each], *sizes) for each in digits.recordings(DEFAULT_RECORDINGS)]
    most = max(1, TRACED // len(found))
    parts = [part for kept, _ in found for part in kept[:: max(1, -(-len(kept) // most))]]
    frames = np.concatenate([made[:: max(1, -(-len(made) // most))] for _, made in found])
    shown = [isinstance(part, Still) for part in parts]
    spans = [1000 * SHOWN_MS if still else part.span for part, still in zip(parts, shown, strict=True)]
    window = float(np.mean(spans))
    named = ", ".join(map(str, recordings)) or DIGITS
    named += f"; a picture is taken to be shown for {SHOWN_MS} ms" if any(shown) else ""
    return replace(trace_counts(encoder, frames, window, synapses), recordings=named)


def read_about(encoder: Path | None, dataset: str = "") -> Encoder:
    """What the file ``encoder`` says about itself; ``dataset``, where given, overrides what it was trained on."""
    if encoder is None:
        return Encoder(
            note="No conventional networks and no search: the sizes of the encoder are in its file, and only counts "
            "were given."
        )
    from export.nir.metadata import read_encoder

    _, metadata = read_encoder(encoder)
    weights = Weights(
        metadata.checkpoint_sha256,
        metadata.numbers,
        metadata.bits,
        dataset or metadata.dataset,
        metadata.encoder,
        "top-1" if metadata.classes else "mAP",
    )
    sizes = metadata.config(str(encoder))
    unknown = "" if sizes else "No conventional networks: the encoder's file does not state its sizes. Export it again."
    return Encoder(weights, sizes, unknown)


def read_selection(results: Path | None, encoder: Encoder) -> tuple[Selection, str]:
    """The retrieval figures that belong to ``encoder``, and the name of the file that they come from.

    Without ``results`` the committed files are used where they exist; the selection is empty where none does.
    """
    paths = [results] if results else [path for path in DEFAULT_RESULTS if path.exists()]
    source = str(results) if results else ", ".join(f"docs/{name}.json" for name in COMMITTED)
    if encoder.weights is None or not paths:
        known = encoder.weights
        return (Selection(known.dataset, figure=known.figure) if known else Selection()), source
    return select([row for path in paths for row in read_results(path)], encoder.weights, source), source


def baselines(sizes: EncoderConfig | None, selection: Selection, source: str) -> Iterator[AnnNetwork]:
    """Conventional networks with codes of the same length, those of measured sparsity only where it was measured.

    Args:
        sizes: of the encoder; none, no networks.
        selection: trained networks, whose sparsity the int8 twin takes over.
        source: file of ``selection``; named in messages.
    """
    if sizes is not None:
        with told_of_extras():
            from deploy.energy.networks import baselines as counted  # builds them in torch

        yield from counted.baselines(sizes, selection.zero_share, source)
