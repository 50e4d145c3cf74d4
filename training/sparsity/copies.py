"""How often the deployed graph holds the maps that add to a stage's stream, and what else a spike passes there.

A stream is no population: every neuron that reads it runs all maps that add to it. A WaveMixer over blocks of B steps
answers B - 1 steps late, so that spikes for whoever reads later are kept in delay lines, and its own pass B lanes.
"""

from dataclasses import dataclass

from torch import Tensor

from training.config import EncoderConfig


@dataclass(frozen=True)
class Copies:
    """Of one linear map."""

    readers: int = 1
    """Populations that run the map."""
    relays: int = 0
    """Synapses of a spike onto delay lines, lanes and gates."""

    def of_spike(self, fan_out: Tensor) -> Tensor:
        """Synaptic operations of one spike of each neuron, whose synapses in one copy of the map are ``fan_out``."""
        return self.readers * fan_out + self.relays

    def cost(self, spikes: Tensor, fan_out: Tensor) -> Tensor:
        """Synaptic operations of ``spikes``, counted by neuron: a scalar of double precision."""
        return (spikes.double() * self.of_spike(fan_out)).sum()


@dataclass(frozen=True)
class StreamCopies:
    """Of the maps that add to a stage's stream; what is left out stands alone in the graph."""

    down: Copies
    mixers: tuple[Copies, ...]
    """By block."""
    contracts: tuple[Copies, ...]
    """By block: the second map of the MLP."""


def natural_copies(config: EncoderConfig, stage: int) -> StreamCopies:
    """Every map once."""
    blocks = (Copies(),) * config.blocks[stage]
    return StreamCopies(Copies(), blocks, blocks)


def lowered_copies(config: EncoderConfig, stage: int) -> StreamCopies:
    """As ``export`` lowers the stage."""
    blocks = config.blocks[stage]
    block_steps = 2 ** config.levels[stage] if config.mixers[stage] == "swm" else 1
    lag = block_steps - 1
    # Latency of the stream's readers: of each block the mixer's neurons and the MLP's, and who comes after the stage.
    readers = [index * lag for block in range(blocks) for index in (block, block + 1)] + [blocks * lag]
    after = {block: readers[2 * block + 1 :] for block in range(blocks)}  # who reads what a block's mixer adds
    return StreamCopies(
        _copies(readers, 0),
        tuple(_copies(after[block], (block + 1) * lag, block_steps) for block in range(blocks)),
        tuple(_copies(after[block][1:], (block + 1) * lag) for block in range(blocks)),
    )


def _copies(readers: list[int], ready: int, block_steps: int = 1) -> Copies:
    """Of a map whose answer is ``ready`` at that step, for readers of these latencies."""
    late = {latency - ready for latency in readers}
    lanes = 3 * block_steps - 1 if block_steps > 1 else 0  # onto B lanes, B gates, B - 1 delays of what passed them
    return Copies(len(readers), len(late - {0}) + lanes * len(late))
