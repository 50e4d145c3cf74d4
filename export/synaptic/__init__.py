"""A NIR graph as populations and the synapses between them, and what a run of it did: spikes, operations, updates.

``lowering`` makes the form that machines in time steps run, ``counted`` the one that a chip stores; ``schedule`` says
when populations step where every hop takes a step. Others import these, ``populations`` and ``counts``. Mapping, energy
and simulators read these forms and no NIR node.
"""
