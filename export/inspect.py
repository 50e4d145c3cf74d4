"""``python -m export.inspect``: the command of ``export.nir.inspect``."""

from spikinghash.cli import run

if __name__ == "__main__":
    run("export.nir.inspect")
