"""The energy and latency model: counts and a hardware profile in, bands with a grade out.

Others import ``model`` and ``search``, which assess, ``validation``, what these give back (``assessment``, ``bill``,
``latency``, ``break_even``), and ``wording``.
"""
