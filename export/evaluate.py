"""``python -m export.evaluate``: the command of ``export.encoder.evaluate``."""

from spikinghash.cli import run

if __name__ == "__main__":
    run("export.encoder.evaluate")
