"""``python -m export.drift``: the command of ``export.loihi.drift``."""

from export.loihi.drift import main
from spikinghash.cli import run

if __name__ == "__main__":
    run(main)
