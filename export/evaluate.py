"""``python -m export.evaluate``: the command of ``export.encoder.evaluate``."""

from export.encoder.evaluate import main
from spikinghash.cli import run

if __name__ == "__main__":
    run(main)
