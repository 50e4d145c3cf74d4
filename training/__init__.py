"""Events to frames to Spikinghash to checkpoint."""

import os

# OpenMP's threads wait for their next loop in a loop of their own, by default for a millisecond and more, on cores that
# the threads of training/model/threads.py compute on in the meantime. libgomp reads this once, as torch loads it.
# With two threads on two cores a step took 0.74 of the time (median of three paired runs, November 2026, AMD EPYC); the
# plain route, which has OpenMP alone, took as long as before.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
