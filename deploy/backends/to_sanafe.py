"""Write a NIR graph for SANA-FE: ``python -m export.to_sanafe GRAPH.nir [-o OUT.yaml]``."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from deploy.backends.sanafe.description import CORES_PER_TILE, Description, unlike_sanafe
from deploy.backends.simulator_backend import find_interpreter
from deploy.backends.worker import environment_of, worker
from deploy.energy.mapping.place import place
from export.encoder.network import probe_frames
from export.nir.interpreter import Interpreter
from export.nir.metadata import Metadata, read_metadata
from export.nir.read import read_graph
from export.nir.synapse_matrix import Shape
from export.nir.trace import input_spikes
from export.synaptic.lowering import lower
from export.synaptic.relays import SUFFIX, with_relays
from export.synaptic.schedule import schedule
from hardware_profiles.loader import load_profile
from spikinghash.errors import ComparisonError, GraphError
from spikinghash.files import atomic_path, beside, private_folder
from spikinghash.progress import working
from training.config import EncoderConfig

PROFILE = "loihi1"
PROBES = 2
"""Random inputs on which SANA-FE has to give the spikes of the graph before its file is written."""
TIME_LIMIT = 3600.0
"""Seconds that SANA-FE may take."""

Array = NDArray[np.float32]


def describe(graph: Path, steps: int) -> Description:
    """Lower the graph in file ``graph``, put relays in the place of delays, and place all on cores.

    Args:
        steps: that a run of the graph takes at most.

    Raises:
        GraphError: SANA-FE has no neurons for it.
    """
    try:
        network = lower(read_graph(graph))
        network.check(unlike_sanafe)
        timing = schedule(network)
        if timing.pace > 1:
            raise GraphError(
                f"a cycle has more hops than delay: {timing.pace} steps of SANA-FE for one of the graph, in which its "
                "neurons would leak as often: lengthen the delay in the cycle"
            )
    except GraphError as error:
        raise GraphError(f"{graph}: {error}") from None
    relayed = with_relays(network, timing)
    placement = place(relayed, load_profile(PROFILE).profile).placement
    if placement is None:
        raise GraphError(f"{graph}: holds no neuron that could be placed")
    return Description(relayed, timing.latencies, placement.core_of, placement.cores, steps)


def write_sanafe(graph: Path, path: Path, steps: int = 100, checked: bool = True) -> Description:
    """Write the graph in file ``graph`` as SANA-FE reads it, run that there, and compare every spike.

    Args:
        steps: that a run takes at most; an encoder's file tells its own.
        checked: whether it is run.

    Raises:
        GraphError: the graph cannot be read, or SANA-FE has no neurons for it.
        MissingToolError: it is not there.
        ComparisonError: its spikes are others; nothing is left at ``path``.
    """
    loaded = read_graph(graph)
    metadata = read_metadata(loaded, str(graph))
    description = describe(graph, metadata.steps if metadata else steps)
    with atomic_path(path) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            description.write(file)
        if checked:
            interpreter = Interpreter(loaded)
            spikes = probes(interpreter.input_shape, metadata, steps)
            _compare(interpreter, spikes, replayed(temporary, description, spikes))
    return description


def probes(shape: Shape, metadata: Metadata | None, steps: int) -> Array:
    """Random inputs, (samples, steps, *shape): recordings for an encoder, else spikes of rate 1/2."""
    if metadata is not None and metadata.encoder is not None:
        frames = probe_frames(EncoderConfig(**metadata.encoder))[-PROBES:]
        return input_spikes(frames, metadata).reshape(PROBES, -1, *shape)
    return (np.random.default_rng(0).random((PROBES, steps, *shape)) < 0.5).astype(np.float32)


def replayed(path: Path, description: Description, spikes: Array) -> dict[str, NDArray[np.bool_]]:
    """What all populations of a written description do in SANA-FE, (samples, steps, neurons) in the graph's own time.

    Raises:
        BackendError: SANA-FE failed.
    """
    samples, steps = spikes.shape[:2]
    last = steps + max(description.lags.values())
    trains = np.zeros((samples, last, spikes[0, 0].size), bool)
    trains[:, :steps] = spikes.reshape(samples, steps, -1) != 0
    with private_folder() as folder:
        source, target = folder / "in.npz", folder / "out.npz"
        cores = description.cores + description.input_cores
        np.savez(source, spikes=trains, cores=cores, input=description.groups[description.network.input.name])
        command = [str(find_interpreter()), "-m", "deploy.backends.sanafe.replay", str(path.resolve())]
        with worker("sanafe", [*command, str(source), str(target)], folder, environment_of(folder)) as running:
            running.wait(TIME_LIMIT)
        with np.load(target) as file:
            events, groups = file["events"], file["groups"].tolist()
    found = {}
    for population in description.network.neurons:
        mine = events[events[:, 2] == groups.index(description.groups[population.name])]
        train = np.zeros((samples, last, population.neurons), bool)
        train[mine[:, 0], mine[:, 1], mine[:, 3]] = True
        lag = description.lags.get(population.name, 0)
        found[population.name] = train[:, lag : lag + steps]
    return found


def _compare(interpreter: Interpreter, spikes: Array, found: dict[str, NDArray[np.bool_]]) -> None:
    names = [name for name in found if SUFFIX not in name]
    _, recorded = interpreter.run(spikes, names)
    for name in names:
        expected = recorded[name].reshape(found[name].shape) != 0
        if not np.array_equal(expected, found[name]):
            wrong, whole = np.count_nonzero(expected != found[name]), np.count_nonzero(expected)
            raise ComparisonError(f"sanafe: node {name}: {wrong} spikes differ ({whole} expected); nothing was written")


def main(
    graph: Annotated[Path, typer.Argument(help="NIR graph, an encoder or any other.", metavar="GRAPH.nir")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write; beside the graph by default.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of a run, of a graph that is no encoder.")] = 100,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run it in SANA-FE first, in about 2 KB per synapse.")
    ] = True,
) -> None:
    """Write a network and its mapping for SANA-FE, run it there, and compare every spike."""
    path = out or beside(graph, ".yaml")
    with working("mapping and writing" + (", running in SANA-FE, comparing" if check else "")):
        made = write_sanafe(graph, path, steps, check)
    relays = sum(each.neurons for each in made.network.neurons if SUFFIX in each.name)
    neurons = sum(each.neurons for each in made.network.neurons)
    synapses = sum(each.weights.nnz for each in made.network.projections)
    cores = made.cores + made.input_cores
    print(f"{neurons:,} neurons, of which {relays:,} relay spikes that have to wait; {synapses:,} synapses")
    print(f"{made.cores:,} cores, and {made.input_cores:,} for the inputs: {-(-cores // CORES_PER_TILE):,} tiles")
    print(f"potentials are cut to multiples of {made.cut:g} (in units of the graph)")
    if check:
        groups = sum(SUFFIX not in each.name for each in made.network.neurons)
        print(f"run in SANA-FE: every spike of {groups} populations is the graph's on {PROBES} inputs")
    print(f"wrote {path}")
