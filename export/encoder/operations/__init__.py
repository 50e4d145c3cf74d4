"""The operations of the graph, one per file.

A file says how its operation is computed, quantised, bounded, laid out, lowered, counted and written. A new operation
is a new file here, and one line in ``export.encoder.frontend`` that names the trained layer it stands for.

Spiking nodes (``Input``, ``Lif``, ``Threshold``, ``Counter``, ``Delay``) emit spikes, a ``Stream`` graded values;
linear nodes (``Conv``, ``Dense``, ``WaveMixer``, ``BlockLinear``) and the product ``Attention`` turn spikes into
currents.
"""

from export.encoder.operations.attention import Attention as Attention
from export.encoder.operations.block_linear import BlockLinear as BlockLinear
from export.encoder.operations.conv import Conv as Conv
from export.encoder.operations.counter import Counter as Counter
from export.encoder.operations.delay import Delay as Delay
from export.encoder.operations.dense import Dense as Dense
from export.encoder.operations.input import Input as Input
from export.encoder.operations.lif import Lif as Lif
from export.encoder.operations.norm import Norm as Norm
from export.encoder.operations.output import Output as Output
from export.encoder.operations.stream import Stream as Stream
from export.encoder.operations.threshold import Threshold as Threshold
from export.encoder.operations.wave_mixer import WaveMixer as WaveMixer
