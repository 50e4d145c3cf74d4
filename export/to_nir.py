"""``python -m export.to_nir``: the command of ``deploy.backends.to_nir``."""

from deploy.backends.to_nir import main
from spikinghash.cli import run

if __name__ == "__main__":
    run(main)
