"""``python -m deploy.place``: the command of ``deploy.energy.mapping.__main__``."""

from spikinghash.cli import run

if __name__ == "__main__":
    run("deploy.energy.mapping.__main__")
