"""A NIR graph as populations and the synapses between them, and what a run of it did: spikes, operations, updates.

Others import ``populations`` and ``counts``. Mapping, energy and simulators read these forms and no NIR node.
"""
