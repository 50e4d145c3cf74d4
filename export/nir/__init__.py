"""NIR: the files, their metadata and dialects, one reader, and what a time step of a graph does.

Others import ``read``, ``metadata``, ``stepwise`` (how a step runs), ``synapse_matrix``, ``interpreter`` and ``trace``.
What Lava's environment imports (``stepwise``, ``synapse_matrix``, ``marked_attention``) needs nir, numpy, scipy and
h5py alone.
"""
