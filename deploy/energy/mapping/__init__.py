"""Mapping a spiking network onto the cores of a chip: greedy partition, limits, mesh, spike traffic."""
