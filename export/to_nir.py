"""``python -m export.to_nir``: the command of ``export.nir.to_nir``."""

from export.nir.to_nir import main
from spikinghash.cli import run

if __name__ == "__main__":
    run(main)
