"""Backends: one module per runtime that can run an encoder.

Others import ``encoders`` (from a file to what encodes and traces) and ``run`` (from recordings to codes).
"""
