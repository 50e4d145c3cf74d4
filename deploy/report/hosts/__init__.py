"""Latency and energy of an encoder on the machine at hand: measured, or null with the reason."""
