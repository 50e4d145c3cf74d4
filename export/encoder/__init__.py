"""The encoder as a graph of spiking and linear nodes, from the checkpoint down to what lives from step to step.

Others import ``graph``, ``node``, ``operations``, ``network`` (a checkpoint as a graph), ``executor``, ``lowering``,
``certificate``, and ``natural`` and ``work`` (what it does before it is lowered). Imports ``training``; of the rest of
``export``, for types alone, the writers that operations use.
"""
