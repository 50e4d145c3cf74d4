"""``python -m deploy.hosts``: the command of ``deploy.report.hosts.__main__``."""

from spikinghash.cli import run

if __name__ == "__main__":
    run("deploy.report.hosts.__main__")
