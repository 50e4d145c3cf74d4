"""The one exception tree of the project.

    SpikinghashError            bad input or usage: one line for the user, exit code 2
    ├── ConfigError             a config file or one of its values
    ├── RecordingError          an event recording or a data set
    ├── CheckpointError         a checkpoint that cannot be read or used
    ├── GraphError              a NIR or ONNX file, or a graph that cannot be lowered or run
    ├── ProfileError            a hardware profile
    ├── MissingToolError        something the machine lacks (an interpreter, a package)
    ├── BackendError            a backend that failed while it ran
    ├── SearchError             an index of hash codes
    ├── WriteError              a file that cannot be written
    └── ComparisonError         two results that had to be equal are not: exit code 1

A message says what is wrong, where (file, line, node, record), the actual value, the limit, and what to do about it.
"""


class SpikinghashError(Exception):
    """Bad input or usage. The message is one line, fit to be shown to the user as it is."""

    exit_code = 2


class ConfigError(SpikinghashError):
    """A config file or one of its values cannot be used."""


class RecordingError(SpikinghashError):
    """An event recording is truncated, empty, out of bounds or out of order."""


class CheckpointError(SpikinghashError):
    """A checkpoint cannot be read, or is of another version."""


class GraphError(SpikinghashError):
    """A NIR or ONNX graph cannot be read, lowered or run."""


class ProfileError(SpikinghashError):
    """A hardware profile breaks the schema."""


class MissingToolError(SpikinghashError):
    """The machine lacks something: an interpreter, a package, a file descriptor."""


class BackendError(SpikinghashError):
    """A backend failed while it ran."""


class SearchError(SpikinghashError):
    """An index of hash codes cannot be read, is of another encoder, or cannot do what it is asked."""


class WriteError(SpikinghashError):
    """A file cannot be written: the disk is full or read-only, or something else stands there."""


class ComparisonError(SpikinghashError):
    """Two results that had to be equal are not."""

    exit_code = 1


def in_one_line(error: BaseException, longest: int = 200) -> str:
    r"""What an exception of another library says, fit to be cited: one line of ``longest`` letters at most.

    Damaged files make libraries cite their contents: zipfile's message on a damaged name may have 17,000 letters,
    SQLite's on a damaged schema control characters.

        >>> in_one_line(KeyError())
        'KeyError'
        >>> in_one_line(ValueError("token \x0f"))
        'token ?'
    """
    words = " ".join(str(error).split()) or type(error).__name__
    text = "".join(letter if letter.isprintable() else "?" for letter in words)
    return text if len(text) <= longest else f"{text[:longest]}..."
