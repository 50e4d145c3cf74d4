"""Which source a word of the command line names."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.live.source import Source
from spikinghash.errors import SpikinghashError
from training.data.events import SensorSize
from training.data.recordings import NMNIST_SENSOR

SOURCE_HELP = "- or a file (.raw, .dat, .bin), udp://HOST:PORT, dv://HOST:PORT, camera."
Format = Annotated[str | None, typer.Option("--format", help="Of standard input, or of a file: raw, dat or bin.")]


def open_source(source: str, suffix: str | None, sensor: SensorSize | None) -> Source:
    """The source that ``source`` names.

    Args:
        source: as ``SOURCE_HELP`` has it.
        suffix: of the format, without a dot; ``None``: that of the file's name.
        sensor: where the source does not tell it.

    Raises:
        SpikinghashError: it cannot be used.
    """
    kind, _, place = source.partition("://")
    if source == "camera":
        from deploy.live.sources.camera import Camera

        return Camera()
    if place and kind in ("udp", "dv"):
        host, colon, port = place.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) < 1 << 16):
            raise SpikinghashError(f"{source}: {kind}://HOST:PORT is needed, as {kind}://127.0.0.1:3333")
        return _over_network(kind, host, int(port), sensor)
    from deploy.live.sources.byte_stream import STANDARD_INPUT, ByteStream

    if suffix is None and source == STANDARD_INPUT:
        raise SpikinghashError("standard input does not tell its format; give it: --format raw, dat or bin")
    ending = f".{suffix}" if suffix else Path(source).suffix.lower()
    return ByteStream(source, ending, sensor or (NMNIST_SENSOR if ending == ".bin" else None))  # as of files


def _over_network(kind: str, host: str, port: int, sensor: SensorSize | None) -> Source:
    if kind == "udp":
        from deploy.live.sources.udp import UdpSource

        return UdpSource(host, port, sensor)
    from deploy.live.sources.dv_network import DvNetwork

    return DvNetwork(host, port)
