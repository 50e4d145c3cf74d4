"""Lava processes and their models, and nothing else: Lava's compiler may execute every file of this folder."""
