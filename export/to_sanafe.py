"""``python -m export.to_sanafe``: the command of ``deploy.backends.to_sanafe``."""

from spikinghash.cli import run

if __name__ == "__main__":
    run("deploy.backends.to_sanafe")
