"""File formats of event recordings, one per module.

Each has ``read(path)``, which returns the events (not yet checked) and the size of the sensor where the file tells it.
"""
