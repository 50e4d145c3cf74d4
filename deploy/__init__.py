"""Running what was exported: backends, hash index, energy and latency report."""
