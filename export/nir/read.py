"""The one reader of NIR files of any origin, for every command and simulator.

It leaves nir's type check off, which refuses sound graphs: nir 1.0.8 mistypes grouped convolutions and kernels that are
not square. ``export.nir.stepwise.plan`` checks shapes itself. What an encoder's metadata say is read by
``export.nir.metadata``, which needs pydantic; this module does not.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
from nir.serialization import hdf2dict

from export.onnx.properties import METADATA_KEY
from spikinghash.errors import GraphError
from spikinghash.hdf5 import claimed_bytes
from spikinghash.seal import NIR, parse_json

DEFAULT_TIME_STEP = 1e-4
"""Seconds. NIR's equations are continuous and its files name no step; the graphs of the NIR paper are run with this."""

LONGEST_STEP = 0.1
"""Seconds. No longer step is inferred from parameters: their unit is then hardly the second."""

TIME_STEP_KEY = "dt"
"""Graph metadata: seconds per step. An encoder of this project names the same key inside its own JSON."""

LARGEST_CONTENT = 2**31
"""Bytes of all arrays of a file, unpacked: compressed ones claim more than the file holds."""

LARGEST_TEXTS = 2**20
"""Of an array of texts, as the names in the edges are."""

KEY = METADATA_KEY
"""Under which an encoder's JSON is kept."""


_OTHERS = {".onnx": "an ONNX model", ".pt": "a checkpoint"}


def read_graph(path: Path, source: str | None = None) -> nir.NIRGraph:
    """Read a NIR file; ``source`` stands for its path in messages.

    Raises:
        GraphError: it is missing, not a NIR file, no graph, or holds a primitive that nir does not know.
    """
    source = source or str(path)
    if (kind := _OTHERS.get(Path(path).suffix)) is not None:
        raise GraphError(f"{source}: this is {kind}, a NIR graph is needed: export.to_nir writes one from a checkpoint")
    if not Path(path).is_file():
        raise GraphError(f"{source}: no such file")
    try:
        NIR.read(path)
        with h5py.File(path, "r") as file:
            _check_claims(file)
            content = hdf2dict(file["node"])
        unknown = _unknown_primitive(content, "")
        graph = None if unknown else nir.dict2NIRNode(_unchecked(content))
    except Exception as error:  # nir and h5py raise whatever a broken file leads them to
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise GraphError(f"{source}: not a readable NIR file ({reason}): export it again") from None
    if unknown:
        raise GraphError(f"{source}: {unknown}")
    if not isinstance(graph, nir.NIRGraph):
        raise GraphError(f"{source}: holds a single {type(graph).__name__}, not a graph")
    return graph


def time_step(graph: nir.NIRGraph) -> float:
    """Seconds per step, from the graph's metadata, else as ``assumed_time_step`` has it.

    Raises:
        GraphError: the metadata name no positive number.
    """
    named = named_time_step(graph)
    return assumed_time_step(graph)[0] if named is None else named


def assumed_time_step(graph: nir.NIRGraph) -> tuple[float, str]:
    """Seconds per step of a graph whose metadata name none, and why.

    An exporter whose neurons add their input as it is writes r = tau/dt, for an IF r = 1/dt. Where all neurons of a
    graph lead to one such dt, of at most two digits, it is assumed. An r of 1 says nothing.
    """
    with np.errstate(all="ignore"):
        steps = np.concatenate([np.zeros(0), *_steps_of_unit_gain(graph)])
    if steps.size and np.all((steps > 0) & (steps <= LONGEST_STEP)):
        step = float(f"{steps[0]:.2g}")
        if np.all(np.abs(steps - step) <= 1e-5 * step):  # float32 rounds
            return step, "r dt/tau is 1 with it in all neurons"
    return DEFAULT_TIME_STEP, "the default"


def _steps_of_unit_gain(graph: nir.NIRGraph) -> Iterator[Any]:
    """By neuron that has a resistance, the time step with which it adds its input as it is; NaN for r of 1 or less."""
    for node in graph.nodes.values():
        if isinstance(node, nir.NIRGraph):
            yield from _steps_of_unit_gain(node)
        elif isinstance(node, nir.LIF | nir.LI | nir.IF | nir.I | nir.CubaLIF | nir.CubaLI):
            r = np.asarray(node.r, float)
            tau = getattr(node, "tau", getattr(node, "tau_mem", 1.0))
            yield np.ravel(np.where(r > 1, np.asarray(tau, float) / r, np.nan))


def named_time_step(graph: nir.NIRGraph) -> float | None:
    """Seconds per step that the graph's metadata name, or ``None``.

    Raises:
        GraphError: they are broken, or what they name is no positive number.
    """
    value: Any = graph.metadata.get(TIME_STEP_KEY)
    if value is None and KEY in graph.metadata:
        try:
            value = parse_json(graph.metadata[KEY]).get(TIME_STEP_KEY)
        except (TypeError, ValueError, AttributeError):
            raise GraphError(f"graph: broken metadata '{KEY}': no JSON object: export the graph again") from None
    try:
        dt = None if value is None else float(value)
    except (TypeError, ValueError):
        raise GraphError(f"graph: metadata name no time step: '{TIME_STEP_KEY}' is {value!r}: give seconds") from None
    if dt is not None and not (math.isfinite(dt) and dt > 0):
        raise GraphError(f"graph: its time step '{TIME_STEP_KEY}' is {dt:g} s: give a positive number of seconds")
    return dt


def _check_claims(file: h5py.File) -> None:
    """Refuse what would take more memory than is good, or leads out of the file, before anything is read."""
    total, seen, waiting = 0, set(), [file["/"]]
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{group.name}/{name} is a link")
            item = group[name]
            if (address := h5py.h5o.get_info(item.id).addr) in seen:
                raise ValueError(f"{item.name} is there twice")
            seen.add(address)
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                total += _claimed(item)
    if total > LARGEST_CONTENT:
        raise ValueError(f"its arrays hold {total:,} bytes, at most {LARGEST_CONTENT:,} are read")


def _claimed(dataset: h5py.Dataset) -> int:
    """Bytes that reading it takes."""
    count = math.prod(dataset.shape or ())
    if dataset.dtype.hasobject and count > LARGEST_TEXTS:
        raise ValueError(f"{dataset.name} holds {count:,} texts, at most {LARGEST_TEXTS:,} are read")
    return claimed_bytes(dataset)


def _unknown_primitive(node: dict[str, Any], name: str) -> str | None:
    """A message about the first node, however deep, whose type nir does not know."""
    kind = str(node["type"])
    if kind not in nir.ir.__all__ or not isinstance(getattr(nir, kind), type):
        return f"node {name}: nir {nir.version} has no primitive {kind}: write it with primitives of NIR"
    inner = node["nodes"].items() if kind == "NIRGraph" else ()
    messages = (_unknown_primitive(child, f"{name}.{key}".lstrip(".")) for key, child in inner)
    return next((message for message in messages if message), None)


def _unchecked(node: dict[str, Any]) -> dict[str, Any]:
    """The content of a file with the type check of every graph in it switched off."""
    if node["type"] != "NIRGraph":
        return node
    inner = {key: _unchecked(child) for key, child in node["nodes"].items()}
    return {**node, "nodes": inner, "type_check": False}
