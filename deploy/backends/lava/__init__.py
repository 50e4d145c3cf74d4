"""NIR graphs on the Lava simulator. Runs in an environment of its own (Python 3.10 with lava-nc), without torch."""
