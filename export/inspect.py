"""``python -m export.inspect``: the command of ``export.nir.inspect``."""

from export.nir.inspect import main
from spikinghash.cli import run

if __name__ == "__main__":
    run(main)
