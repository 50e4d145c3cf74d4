"""``python -m export.to_c``: the command of ``export.c.to_c``."""

from spikinghash.cli import run

if __name__ == "__main__":
    run("export.c.to_c")
