"""Backends: one module per runtime that can run an encoder."""
