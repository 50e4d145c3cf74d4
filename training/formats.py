"""The formats of event files that can be read: ``python -m training.formats``."""

from rich.table import Table

from spikinghash.cli import run, wide_console
from training.data.recordings import FORMATS


def main() -> None:
    """List the formats of event files: suffixes, what decodes them, and whether a file tells its sensor."""
    table = Table("suffix", "format", "decoded by", "tells its sensor", box=None)
    for one in FORMATS:
        table.add_row(" ".join(one.suffixes), one.name, one.decoder, one.sensor)
    wide_console().print(table)


if __name__ == "__main__":
    run(main)
