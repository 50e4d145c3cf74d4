"""What comes along with the package: committed encoders, configs, retrieval figures, a few recordings, Lava's pins.

In a checkout the folders here are links to where these are kept.
"""

from importlib.resources import files
from pathlib import Path

from spikinghash.errors import SpikinghashError
from spikinghash.names import meant

FOLDER = Path(str(files(__name__)))
CHECKPOINTS, CONFIGS, RECORDINGS, RESULTS = (
    FOLDER / name for name in ("checkpoints", "configs", "recordings", "results")
)


def named(path: str | Path, folder: Path, suffix: str) -> Path:
    """``path`` itself, or, where it is a bare name that is no file, the file of that name in ``folder``.

    >>> named("digits", CHECKPOINTS, ".onnx").name
    'digits.onnx'
    >>> str(named("my/encoder.onnx", CHECKPOINTS, ".onnx"))
    'my/encoder.onnx'
    """
    path = Path(path)
    bare = path.name == str(path) and not path.suffix and not path.exists()
    own = folder / f"{path.name}{suffix}"
    return own if bare and own.is_file() else path


def offered(path: str | Path, folder: Path, suffix: str) -> str:
    """What to say of a bare name that is no file: which names ``folder`` has. Of a path: whether its name is one.

    >>> offered("digitz", CHECKPOINTS, ".onnx")
    "; by name there are digits, nmnist; did you mean 'digits'?"
    >>> offered("checkpoints/digits.pt", CHECKPOINTS, ".pt")
    "; 'digits' comes along, by this name"
    >>> offered("my/digitz.onnx", CHECKPOINTS, ".onnx")
    ''
    """
    path = Path(path)
    names = sorted(file.stem for file in folder.glob(f"*{suffix}"))
    if path.name != str(path) or path.suffix:
        return f"; {path.stem!r} comes along, by this name" if path.stem in names else ""
    return f"; by name there are {', '.join(names)}{meant(path.name, names)}"


def example(label: str = "7", number: int = 0) -> Path:
    """A recording that comes along: a digit before a simulated event camera of 34x34 pixels.

    Raises:
        SpikinghashError: there is none of this class and number.

    >>> example("7").suffix
    '.bin'
    """
    found = sorted((RECORDINGS / label).glob("*.bin"))
    if number >= len(found):
        raise SpikinghashError(f"example {number} of class {label!r}: there are {len(found)}; classes are 0 to 9")
    return found[number]
