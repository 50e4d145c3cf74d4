"""Lowerings, one operation per file: what NIR has no node for becomes populations and linear maps."""
