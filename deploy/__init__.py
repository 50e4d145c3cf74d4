"""What runs, finds and prices an exported encoder.

Of what lies outside this folder ``spikinghash.api`` alone imports it.

``backends``  one protocol for torch, ONNX Runtime, the NIR interpreter, Lava and foreign simulators
``search``    an index of hash codes over recordings
``energy``    placement on cores, energy and latency from counts and published prices
``report``    the report and its page, comparisons, measured hosts
``live``      codes of a stream of events while it comes
``web``       a page that runs an encoder in a browser

The modules beside them are the commands ``python -m deploy.NAME``.
"""
