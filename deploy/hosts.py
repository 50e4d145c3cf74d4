"""``python -m deploy.hosts``: the command of ``deploy.report.hosts.__main__``."""

from deploy.report.hosts.__main__ import main
from spikinghash.cli import run

if __name__ == "__main__":
    run(main)
