"""The encoder as a graph of spiking and linear nodes, from the checkpoint down to what lives from step to step.

Others import ``graph``, ``node``, ``operations``, ``network`` (a checkpoint as a graph), ``executor``, ``lowering`` and
``certificate``. Imports ``training``; of the rest of ``export``, for types alone, the writers that operations use.
"""
