"""The forms that an encoder is written in, by name."""

from typing import Literal

Numbers = Literal["integer", "float"]

Streams = Literal["copied", "shared"]
"""``copied``: every LIF on a residual stream runs all maps that feed it. ``shared``: they read one ``Stream``."""

Biases = Literal["line", "neurons"]
"""``line``: synapses from the valid line. ``neurons``: leak potentials, held down until the data arrives."""

Attentions = Literal["gates", "product"]
"""``gates``: coincidence gates where there are not too many. ``product``: a marked product, where a target has one."""
