"""Event files that libraries write: Event Stream, MATLAB's, bags of ROS 1 and 2."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import event_stream
import numpy as np
import scipy.io
from rosbags.rosbag1 import Writer as FirstWriter
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as SecondWriter
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tests.event_files import FORMATS, Row
from training.data.formats.prophesee import cut_header

SENSOR = (64, 48, 2)
GENERATOR = np.random.default_rng(3)
ROWS: list[Row] = [
    (int(GENERATOR.integers(64)), int(GENERATOR.integers(48)), 5_000_000 + 37 * number, number % 2)
    for number in range(101)
]
X, Y, T, P = np.array(ROWS).T


def write_es(path: Path) -> None:
    array = np.zeros(len(ROWS), event_stream.dvs_dtype)
    array["t"], array["x"], array["y"], array["on"] = T, X, 47 - Y, P
    with event_stream.Encoder(str(path), "dvs", 64, 48) as encoder:
        encoder.write(array[:50])
        encoder.write(array[50:])


def write_aedat_struct(path: Path) -> None:
    polarity = {"timeStamp": T.astype(np.uint64), "x": X.astype(np.uint16), "y": Y.astype(np.uint16), "polarity": P > 0}
    columns = {name: column[:, None] for name, column in polarity.items()}
    info = {"deviceAddressSpace": np.array([64.0, 48.0]), "source": "Davis346"}
    content = {"info": info, "data": {"polarity": columns, "special": {"timeStamp": np.zeros(0)}}}
    scipy.io.savemat(path, {"aedat": content}, do_compression=True)


def write_columns(path: Path) -> None:
    scipy.io.savemat(path, {"ts": T / 1e6, "x": X.astype(float), "y": Y.astype(float), "pol": 2.0 * P - 1})


def store_of(kind: Stores) -> Any:
    """Types as the packages dvs_msgs and event_camera_msgs define them."""
    store = get_typestore(kind)
    types = get_types_from_msg("uint16 x\nuint16 y\ntime ts\nbool polarity\n", "dvs_msgs/msg/Event")
    types |= get_types_from_msg(
        "Header header\nuint32 height\nuint32 width\ndvs_msgs/Event[] events\n", "dvs_msgs/msg/EventArray"
    )
    packet = (
        "std_msgs/Header header\nuint32 height\nuint32 width\nuint64 seq\nuint64 time_base\nstring encoding\n"
        "bool is_bigendian\nuint8[] events\n"
    )
    store.register(types | get_types_from_msg(packet, "event_camera_msgs/msg/EventPacket"))
    return store


def header(store: Any, first: bool, number: int) -> Any:
    stamp = store.types["builtin_interfaces/msg/Time"](5, number)
    kind = store.types["std_msgs/msg/Header"]
    return kind(number, stamp, "camera" * number) if first else kind(stamp, "camera" * number)


def arrays(store: Any, first: bool) -> list[Any]:
    """Messages of all lengths from 0 to 13, and of what is left."""
    kind, event = store.types["dvs_msgs/msg/EventArray"], store.types["dvs_msgs/msg/Event"]
    time = store.types["builtin_interfaces/msg/Time"]
    events = [event(x, y, time(t // 10**6, t % 10**6 * 1000), bool(p)) for x, y, t, p in ROWS]
    made, start = [], 0
    for length in [*range(14), len(events)]:
        made.append(kind(header(store, first, length % 5), 48, 64, events[start : start + length]))
        start += length
    return made


def packets(store: Any, first: bool, encoding: str, path: Path) -> list[Any]:
    kind = store.types["event_camera_msgs/msg/EventPacket"]
    if encoding == "mono":
        words = np.array([p << 63 | y << 48 | x << 32 | (t - 5_000_000) * 1000 for x, y, t, p in ROWS], "<u8")
        content, base = words.tobytes(), 5_000_000_000
    else:
        FORMATS["EVT 3"][1](path, ROWS, 64, 48)
        written = path.read_bytes()
        content, base = written[cut_header(written) :], 0
    cut = len(content) // 3 // 8 * 8
    parts = content[:cut], content[cut:]
    raw = [np.frombuffer(part, np.uint8) for part in parts]
    return [kind(header(store, first, 3), 48, 64, 0, base, encoding, False, part) for part in raw]


def write_bag(path: Path, topics: dict[str, str], plugin: StoragePlugin | None) -> Path:
    """A bag with messages of ``topics``: their names, and what they hold. Returns the file that is read."""
    first = plugin is None
    store = store_of(Stores.ROS1_NOETIC if first else Stores.ROS2_HUMBLE)
    serialise: Callable[..., Any] = store.serialize_ros1 if first else store.serialize_cdr
    with FirstWriter(path) if plugin is None else SecondWriter(path, version=9, storage_plugin=plugin) as bag:
        for topic, what in topics.items():
            made = arrays(store, first) if what == "array" else packets(store, first, what, path.with_name("evt3"))
            connection = bag.add_connection(topic, made[0].__msgtype__, typestore=store)
            for number, message in enumerate(made):
                bag.write(connection, 10**9 + number, serialise(message, message.__msgtype__))
    return path if first else next(file for file in path.iterdir() if file.suffix in (".db3", ".mcap"))
