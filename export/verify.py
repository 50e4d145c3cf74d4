"""``python -m export.verify``: the command of ``deploy.backends.verify``."""

from deploy.backends.verify import main
from spikinghash.cli import run

if __name__ == "__main__":
    run(main)
