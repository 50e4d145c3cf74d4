"""Loihi's fixed point without Lava: any NIR graph in the integer emulator."""

from collections.abc import Sequence
from pathlib import Path

from export.loihi.emulator import LoihiEmulator
from export.loihi.network import as_recorded, to_fixed_point, whole_range
from export.nir.read import read_graph
from export.synaptic.lowering import lower
from spikinghash.arrays import Arrays, Floats
from spikinghash.errors import GraphError


class EmulatorRunner:
    """Runs NIR graphs in Loihi's arithmetic, int64 NumPy throughout; what the Lava backend has to equal."""

    def run(self, graph_path: Path, spikes: Floats, record: Sequence[str] = ()) -> tuple[Floats, Arrays]:
        """As ``GraphRunner`` says; ``spikes`` are whole numbers, ``record`` names Neuron and Delay nodes."""
        network = lower(read_graph(Path(graph_path)), record)
        if spikes.shape[2:] != network.input.shape:
            raise GraphError(f"input frames have shape {spikes.shape[2:]}, the graph takes {network.input.shape}")
        fixed = to_fixed_point(network, spikes.shape[1], whole_range(spikes))
        outputs, recorded = LoihiEmulator(fixed).run(spikes, record)
        return outputs, {name: as_recorded(values * fixed.unit(name)) for name, values in recorded.items()}
