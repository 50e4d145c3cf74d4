"""``spikinghash setup-lava``: build the environment of the Lava simulator, which runs on Python 3.10 alone."""

from spikinghash.cli import run
from spikinghash.environments import SetupError, lava_environment, set_up
from spikinghash.errors import MissingToolError


def main() -> None:
    """Build the environment of the Lava simulator (Python 3.10, 1 GB) in the user's data folder, or in a checkout."""
    try:
        set_up(["lava"])
    except SetupError as error:
        raise MissingToolError(str(error)) from None
    print(f"Lava's environment: {lava_environment().folder}")


if __name__ == "__main__":
    run(main)
