"""The command ``python3 scripts/setup_environments.py [NAME...]`` of ``spikinghash.environments``.

Nothing has to be installed for it.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from spikinghash.environments import main

    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
