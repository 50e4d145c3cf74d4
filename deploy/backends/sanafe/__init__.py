"""SANA-FE as a target: its description of a network, mapped to cores, and a run of it there before it is handed out.

SANA-FE (Boyle et al. 2025, doi 10.1109/TCAD.2025.3537971) simulates chips message by message. ``chip`` and ``replay``
run in the environment of the foreign simulators (``make interop-setup``).
"""
