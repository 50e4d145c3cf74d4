"""What runs, finds and prices an exported encoder. Nothing outside this folder imports it.

``backends``  one protocol for torch, ONNX Runtime, the NIR interpreter, Lava and foreign simulators
``search``    an index of hash codes over recordings
``energy``    placement on cores, energy and latency from counts and published prices
``report``    the report and its page, comparisons, measured hosts

The modules beside them are the commands ``python -m deploy.NAME``.
"""
