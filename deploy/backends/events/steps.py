"""An encoder that takes frames while they come: what is left to do when the last one has come is little."""

from dataclasses import replace

import numpy as np

from deploy.backends.encoder import Codes, Frames, checked_frames
from deploy.backends.events.encoder import Buffers
from deploy.backends.events.plan import Planner
from export.encoder.integer import Blocks, IntegerNetwork, Vote
from spikinghash.errors import SpikinghashError


class EventsSteps:
    """An integer network that is given its window in pieces of ``block`` time steps.

    Neurons keep their potentials from piece to piece. A wave mixer needs all steps of its block before it can answer: a
    piece is as long as the longest block, one step where no wavelet spans time.

    Example:
        >>> steps = EventsSteps(read_network(Path("encoder.onnx")))
        >>> for frames in pieces:  # (block, 2, H, W) each, T steps in all
        ...     steps.push(frames)
        >>> code = steps.code()
    """

    def __init__(self, network: IntegerNetwork) -> None:
        blocks = [layer.sides[0] for layer in network.layers if isinstance(layer, Blocks)]
        self.block = max(blocks, default=1)
        self.time_steps, self.size, self.bits = network.time_steps, network.size, network.bits
        self._network = network
        # Spikes are counted here: a vote that needs more steps than a piece has would be refused.
        vote = replace(network.vote, votes=1) if isinstance(network.vote, Vote) else network.vote
        self._program = Planner(replace(network, time_steps=self.block, vote=vote)).program()
        self._buffers = Buffers(self._program)
        self.restart()

    def restart(self) -> None:
        """Begin a window, from rest."""
        self._done, self._votes = 0, np.zeros(self.bits, np.int64)

    def push(self, frames: Frames) -> None:
        """Take the next ``block`` frames (block, 2, H, W) of the window.

        Raises:
            SpikinghashError: they have another shape, hold other values than 0 and 1, or the window is full.
        """
        frames = checked_frames(frames[None], self.block, self.size)
        if self._done == self.time_steps:
            raise SpikinghashError(f"the window has its {self.time_steps} steps: ask for its code, then restart")
        votes = np.empty((1, self.bits), np.int32)
        self._buffers.run(frames, votes, 0, 1, self._program.going_on, resting=not self._done)
        self._votes += votes[0]
        self._done += self.block

    def code(self) -> Codes:
        """The packed code (K/8,) of the window, or the spikes of each class (K,); the next frames begin another one.

        Raises:
            SpikinghashError: frames are missing.
        """
        if self._done < self.time_steps:
            raise SpikinghashError(f"the window has {self._done} of its {self.time_steps} steps: push the others first")
        (answer,) = self._network.answers(self._votes[None])
        self.restart()
        return answer
