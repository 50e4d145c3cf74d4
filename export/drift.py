"""``python -m export.drift``: the command of ``export.loihi.drift``."""

from spikinghash.cli import run

if __name__ == "__main__":
    run("export.loihi.drift")
