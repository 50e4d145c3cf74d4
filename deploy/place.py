"""``python -m deploy.place``: the command of ``deploy.energy.mapping.__main__``."""

from deploy.energy.mapping.__main__ import main
from spikinghash.cli import run

if __name__ == "__main__":
    run(main)
