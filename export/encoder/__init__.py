"""The encoder as a graph of spiking and linear nodes, from the checkpoint down to what lives from step to step.

Others import ``graph``, ``network`` (a checkpoint as a graph), ``executor``, ``certificate`` and ``lowering.network``.
Imports ``training``, nothing else of ``export``.
"""
