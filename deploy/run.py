"""``python -m deploy.run``: the command of ``deploy.backends.run``."""

from deploy.backends.run import main
from spikinghash.cli import run

if __name__ == "__main__":
    run(main)
