"""What ``import spikinghash`` offers, one module per subject. Each is imported when a name of it is first used.

``recordings``  ``read_events``, ``to_frames``: event files and arrays
``encoders``    ``load``, ``Encoder``: codes of recordings, of frames, of a stream
``search``      ``hamming``, ``Index``: distances and the nearest codes
``making``      ``train``, ``export``, ``report``: from a config to a checkpoint, a file for other machines, a price
"""
