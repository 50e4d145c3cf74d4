"""SANA-FE's own Loihi with as many tiles as a network needs; runs where ``sanafe`` is installed."""

import re
import tempfile
from pathlib import Path

import sanafe

ARCHITECTURE = Path(sanafe.__file__).parent / "examples" / "loihi.yaml"
TILES, CORES_PER_TILE, ROWS = 32, 4, 4


def load_architecture(text: str) -> sanafe.Architecture:
    """The architecture that the YAML ``text`` describes; it is written to the worker's folder, which goes with it."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=".") as file:
        file.write(text)
        file.flush()
        return sanafe.load_arch(file.name)


def loihi(cores: int) -> str:
    """YAML of Loihi with room for ``cores``: a mesh as high, and as wide as it has to be.

    SANA-FE takes its time and memory for cores that hold nothing as well.
    """
    columns = -(-cores // (CORES_PER_TILE * ROWS))
    text = ARCHITECTURE.read_text()
    text = re.sub(r"(?m)^(\s*width:) \d+$", rf"\g<1> {columns}", text)
    return text.replace(f"loihi_tile[0..{TILES - 1}]", f"loihi_tile[0..{columns * ROWS - 1}]")
