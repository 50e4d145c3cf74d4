"""``python -m deploy.run``: the command of ``deploy.backends.run``."""

from spikinghash.cli import run

if __name__ == "__main__":
    run("deploy.backends.run")
