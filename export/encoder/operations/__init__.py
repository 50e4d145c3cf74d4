"""The operations of the graph, one per file.

A file says how its operation is computed, quantised, bounded, laid out, lowered, counted and written. A new operation
is a new file here, and one line in ``export.encoder.frontend`` that names the trained layer it stands for.

Spiking nodes (``Input``, ``Lif``, ``Threshold``, ``Counter``, ``Delay``) emit spikes; linear nodes (``Conv``,
``Dense``, ``WaveMixer``, ``BlockLinear``) and the product ``Attention`` turn spikes into currents.
"""

from export.encoder.operations.attention import Attention
from export.encoder.operations.block_linear import BlockLinear
from export.encoder.operations.conv import Conv
from export.encoder.operations.counter import Counter
from export.encoder.operations.delay import Delay
from export.encoder.operations.dense import Dense
from export.encoder.operations.input import Input
from export.encoder.operations.lif import Lif
from export.encoder.operations.norm import Norm
from export.encoder.operations.output import Output
from export.encoder.operations.threshold import Threshold
from export.encoder.operations.wave_mixer import WaveMixer

__all__ = [
    "Attention",
    "BlockLinear",
    "Conv",
    "Counter",
    "Delay",
    "Dense",
    "Input",
    "Lif",
    "Norm",
    "Output",
    "Threshold",
    "WaveMixer",
]
