"""The energy and latency model: counts and a hardware profile in, bands with a grade out."""
