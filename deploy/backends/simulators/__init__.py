"""NIR files in simulators that this project did not write: Norse, snnTorch, SpikingJelly, sc-neurocore, NEST.

A ``*_runner`` module reads a portable file with the simulator's own importer, leaves the graph as it is and runs it
step by step. NEST reads no NIR: it is given populations and delayed synapses, of any dialect. The modules run in an
environment of their own (``make interop-setup``); the main environment starts it through
:mod:`deploy.backends.simulator_backend`::

    python -m deploy.backends.simulators SIMULATOR GRAPH.nir X.npz Y.npz [--record NODE,NODE] [--threads N]
"""

RUNNERS = {
    "norse": "norse_runner",
    "snntorch": "snntorch_runner",
    "spikingjelly": "spikingjelly_runner",
    "sc-neurocore": "sc_neurocore_runner",
    "nest": "nest_runner",
}
"""The simulators by name, each with the module that runs it."""

LOWERED = frozenset({"nest"})
"""Simulators that take populations and synapses instead of files, so that any time step will do, and have threads."""
