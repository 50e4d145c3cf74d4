"""Formats that libraries write: Event Stream, MATLAB, bags of ROS 1 and 2, each written by a library of its own."""

import contextlib
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import event_stream
import h5py
import hdf5plugin
import numpy as np
import pytest
import scipy.io
from library_files import ROWS, SENSOR, Row, write_aedat_struct, write_bag, write_columns, write_es
from rosbags.rosbag2 import StoragePlugin

from deploy.search.building import add_sources
from deploy.search.files import find_sources
from deploy.search.manifest import Manifest
from deploy.search.searcher import Searcher
from deploy.search.store import open_or_create
from spikinghash.errors import RecordingError, SearchError
from training.data.events import EVENT_DTYPE
from training.data.frames import load_dataset
from training.data.reader import Reader
from training.data.recordings import load_recording


def check(path: Path, rows: Sequence[Row] = ROWS, **asked: Any) -> None:
    found = load_recording(path, **asked)
    assert np.array_equal(found.events, np.array([tuple(row) for row in rows], EVENT_DTYPE))
    assert found.sensor == SENSOR


def test_event_stream_counts_y_from_the_bottom(tmp_path: Path) -> None:
    write_es(tmp_path / "a.es")
    check(tmp_path / "a.es")


def test_event_streams_of_other_kinds_and_damaged_ones_are_told(tmp_path: Path) -> None:
    with event_stream.Encoder(str(tmp_path / "a.es"), "generic", 0, 0) as encoder:
        encoder.write(np.array([(1, b"a")], event_stream.generic_dtype))
    with pytest.raises(RecordingError, match="type 'generic'; only 'dvs'"):
        load_recording(tmp_path / "a.es")
    (tmp_path / "b.es").write_bytes(b"Event Stream?" * 9)
    with pytest.raises(RecordingError, match="damaged, or no Event Stream"):
        load_recording(tmp_path / "b.es")


def test_matlab_structures_of_aedattools_and_columns(tmp_path: Path) -> None:
    write_aedat_struct(tmp_path / "a.mat")
    check(tmp_path / "a.mat")
    write_columns(tmp_path / "b.mat")
    check(tmp_path / "b.mat", sensor_size=SENSOR)
    assert load_recording(tmp_path / "b.mat", SENSOR).notes == ("times with fractions were taken for seconds",)


def test_a_reader_of_matlab_files_that_crashes_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_aedat_struct(tmp_path / "a.mat")
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(RecordingError, match=r"a\.mat: damaged: SciPy's reader ended with code 1; save it again"):
        load_recording(tmp_path / "a.mat")


def test_matlab_files_that_hold_no_events_or_are_damaged_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"x": np.arange(3), "y": np.arange(3)})
    with pytest.raises(RecordingError, match="no structure in it has x, y, t and p"):
        load_recording(path, SENSOR)
    scipy.io.savemat(path, {"x": np.arange(3), "y": np.arange(3), "t": np.arange(3), "p": np.ones(2)})
    with pytest.raises(RecordingError, match=r"\[3, 3, 3, 2\] values"):
        load_recording(path, SENSOR)
    write_aedat_struct(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RecordingError, match="damaged"):
        load_recording(path)
    packed = zlib.compress(bytes(1 << 27))
    start = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    path.write_bytes(start + np.array([15, len(packed)], "<u4").tobytes() + packed)
    with pytest.raises(RecordingError, match="bytes when unpacked"):
        load_recording(path)


@pytest.mark.parametrize("plugin", [None, StoragePlugin.SQLITE3, StoragePlugin.MCAP])
@pytest.mark.parametrize("what", ["array", "mono", "evt3"])
def test_bags_of_both_kinds_of_messages(plugin: StoragePlugin | None, what: str, tmp_path: Path) -> None:
    path = write_bag(tmp_path / ("bag" if plugin else "a.bag"), {"/dvs/events": what}, plugin)
    rows = ROWS
    if what == "evt3":  # its clock has 24 bits
        rows = [(x, y, t % (1 << 24), p) for x, y, t, p in ROWS]
    check(path, rows)


def test_of_several_topics_one_is_chosen(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "a.bag", {"/left": "array", "/right": "mono"}, None)
    with pytest.raises(RecordingError, match="2 topics of events to read, of /left, /right; choose one: --stream"):
        load_recording(path)
    with pytest.raises(RecordingError, match="0 topics of events"):
        load_recording(path, stream="/middle")
    check(path, stream="/left")


def test_bags_in_other_encodings_and_damaged_ones_are_told(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "a.bag", {"/dvs": "mono"}, None)
    path.write_bytes(path.read_bytes().replace(b"mono", b"none"))
    with pytest.raises(RecordingError, match="encoding 'none'; evt3 and mono are read"):
        load_recording(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(RecordingError, match="damaged, or no bag of ROS"):
        load_recording(path)
    mcap = write_bag(tmp_path / "bag", {"/dvs": "mono"}, StoragePlugin.MCAP)
    content = mcap.read_bytes()
    for start in range(8, 40):
        mcap.write_bytes(content[:start] + b"\xff" * 8 + content[start + 8 :])
        with contextlib.suppress(RecordingError):  # and of no other kind
            load_recording(mcap)
    (tmp_path / "b.mcap").write_bytes(b"nothing")
    with pytest.raises(RecordingError, match="damaged, or no bag of ROS"):
        load_recording(tmp_path / "b.mcap")


def test_an_index_keeps_stream_and_order(tmp_path: Path) -> None:
    """Recordings of several streams, and late ones, are built, added and asked for without being told again."""
    encoder = Path(__file__).parents[1] / "checkpoints" / "digits.onnx"
    folder, index = tmp_path / "recordings" / "0", tmp_path / "index"
    folder.mkdir(parents=True)
    bag = write_bag(folder / "a.bag", {"/left": "array", "/right": "mono"}, None)
    (folder / "late.txt").write_text("".join(f"{t} {x} {y} {p}\n" for x, y, t, p in (*ROWS, *ROWS)))
    reader = Reader((64, 48, 2), stream="/left", sort=True)
    manifest = open_or_create(index, encoder, 32, "flat", None, reader)
    report = add_sources(index, manifest, list(find_sources(folder.parent)))
    assert (report.added, report.errors) == (2, [])
    assert Manifest(index).facts.reader == reader
    assert Searcher(index, threads=1).query(bag).hits[0].distance == 0
    with pytest.raises(SearchError, match="made with --stream /left, not None"):
        open_or_create(index, encoder, 32, "flat", None, Reader((64, 48, 2), sort=True))
    with pytest.raises(RecordingError, match="0 topics of events to read"):
        Searcher(index, threads=1, stream="/middle").query(bag)


def test_a_config_tells_stream_and_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data" / "0").mkdir(parents=True)
    write_bag(tmp_path / "data" / "0" / "a.bag", {"/left": "array", "/right": "mono"}, None)
    late = "".join(f"{t} {x} {y} {p}\n" for x, y, t, p in (*ROWS[50:], *ROWS[:50], *[(0, 0, 0, 1)]))
    (tmp_path / "data" / "0" / "b.txt").write_text(late)
    with pytest.raises(RecordingError, match="choose one: --stream"):
        load_dataset("folder", time_steps=4, root=tmp_path / "data", sensor=(64, 48), sort=True)
    with pytest.raises(RecordingError, match="read it with --sort"):
        load_dataset("folder", time_steps=4, root=tmp_path / "data", sensor=(64, 48), stream="/left")
    found = load_dataset("folder", time_steps=4, root=tmp_path / "data", sensor=(64, 48), stream="/left", sort=True)
    whole = load_recording(tmp_path / "data" / "0" / "a.bag", stream="/right")
    assert found.ids == ["0/a.bag", "0/b.txt"]
    assert np.array_equal(found.frames[0], whole.frames(4, 32))


def test_files_packed_as_those_of_dsec_are_read(tmp_path: Path) -> None:
    """In a process of its own: in this one what wrote the file has made the filter known."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name, kind in (("x", "u2"), ("y", "u2"), ("t", "u4"), ("p", "u1")):
            file.create_dataset(f"events/{name}", data=np.arange(2).astype(kind), **hdf5plugin.Blosc("zstd"))
    read = "import sys; from training.data.recordings import load_recording"
    show = "print(load_recording(sys.argv[1], (4, 4, 2)).events.tolist())"
    done = subprocess.run(
        [sys.executable, "-c", f"{read}; {show}", str(path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout == "[(0, 0, 0, False), (1, 1, 1, True)]\n"


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (
            0x8ECF,
            r"a\.h5: packed by Prophesee's filter ECF, .* \(github.com/prophesee-ai/hdf5_ecf\) .* HDF5_PLUGIN_PATH",
        ),
        (300, r"a\.h5: packed by the HDF5 filter 300, which hdf5plugin does not have: .* HDF5_PLUGIN_PATH"),
    ],
)
@pytest.mark.parametrize("place", ["CD/events", "events/x"])
def test_a_filter_that_is_not_there_is_named(number: int, told: str, place: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in {"events/x", "events/y", "events/t", "events/p"} - {place}:
            file[name] = [1]
        kind = (
            np.dtype([("x", "u2"), ("y", "u2"), ("p", "i2"), ("t", "i8")]) if place == "CD/events" else np.dtype("u2")
        )
        packing = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        packing.set_chunk((1,))
        packing.set_filter(number, h5py.h5z.FLAG_OPTIONAL)
        links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        links.set_create_intermediate_group(True)
        stored = h5py.h5d.create(
            file.id, place.encode(), h5py.h5t.py_create(kind), h5py.h5s.create_simple((1,)), packing, links
        )
        stored.write_direct_chunk((0,), b"packed")
    with pytest.raises(RecordingError, match=told):
        load_recording(tmp_path / "a.h5", (4, 4, 2))
