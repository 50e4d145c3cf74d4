"""Passes over the spiking graph, one per file: each finds a pattern and rewrites it."""
