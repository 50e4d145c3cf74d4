"""``python -m export.to_nir``: the command of ``deploy.backends.to_nir``."""

from spikinghash.cli import run

if __name__ == "__main__":
    run("deploy.backends.to_nir")
