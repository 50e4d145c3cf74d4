"""Runs jobs of the Lava worker one after the other, in Lava's environment: ``python lava_server.py < JOB_FOLDERS``.

Most tests need many small runs, and starting Lava takes longer than they do. Standard output carries one line per job:
empty, or the error.
"""

import os
import sys
from pathlib import Path

from deploy.backends.lava.job import run_job


def main() -> None:
    """Answer each line of standard input."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            run_job(Path(line.rstrip("\n")), lambda _: None, lambda error: answers.write(f"{error}\n"))
            answers.write("\n")
        except Exception as error:
            answers.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")


if __name__ == "__main__":
    main()
