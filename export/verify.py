"""``python -m export.verify``: the command of ``deploy.backends.verify``."""

from spikinghash.cli import run

if __name__ == "__main__":
    run("deploy.backends.verify")
