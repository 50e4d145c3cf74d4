"""``python -m export.to_c``: the command of ``export.c.to_c``."""

from export.c.to_c import main
from spikinghash.cli import run

if __name__ == "__main__":
    run(main)
