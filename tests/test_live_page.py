"""The page of a live stream: real datagrams over loopback, and what a browser makes of them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from browser import DESKTOP, PHONE, too_faint, visit
from event_files import FORMATS
from live_cases import SENSOR, WINDOW, Listed, as_events, await_listener, digits

from deploy.backends.encoders import load_encoder
from deploy.live.coder import Coder
from deploy.live.feed import KEPT, Feed
from deploy.live.source import NOTHING, Source
from deploy.live.sources.udp import UdpSource
from deploy.search.building import add_sources
from deploy.search.files import find_sources
from deploy.search.searcher import Searcher
from deploy.search.serve import WATCHERS, SearchServer
from deploy.search.store import open_or_create
from spikinghash.errors import RecordingError
from spikinghash.resources import example
from tests.servers import running
from training.data.binning import events_to_frames
from training.data.events import Events
from training.data.windows import Windows

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
ENCODER = ROOT / "checkpoints" / "digits.onnx"
CUT = Windows(WINDOW, WINDOW)
EVENTS = as_events(digits())


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The thirty digits that come along."""
    folder = tmp_path_factory.mktemp("index")
    manifest = open_or_create(folder, ENCODER, load_encoder(ENCODER).bits, "flat", None, None)
    assert not add_sources(folder, manifest, list(find_sources(example().parents[1]))).errors
    return folder


@pytest.fixture(scope="module")
def searcher(index: Path) -> Searcher:
    return Searcher(index, threads=1)


@contextmanager
def shown(searcher: Searcher, source: Source, name: str = "udp") -> Iterator[SearchServer]:
    """A server whose page shows ``source``."""
    with (
        Feed(name, source, CUT, Coder(searcher.encoder, searcher)) as feed,
        running(SearchServer(searcher, ("127.0.0.1", 0), 1 << 20, feed)) as server,
    ):
        yield server


def endless(*chunks: Events, waits: bool = True) -> Listed:
    """A source that gives ``chunks``, and then waits for more."""

    class Endless(Listed):
        def __iter__(self) -> Iterator[Events]:
            yield from self._chunks
            while True:
                time.sleep(0.01)
                yield NOTHING

    return Endless(list(chunks), waits=waits)


def send(events: Events, port: int) -> None:
    """As AEStream does, with times."""
    words = np.stack([events["x"].astype("<u4") << 16 | events["p"].astype("<u4") << 15 | events["y"], events["t"]], 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for start in range(0, len(words), 32):
            sender.sendto(words[start : start + 32].astype("<u4").tobytes(), ("127.0.0.1", port))
            time.sleep(0.0005)


def watched(server: SearchServer, last: int | None = None) -> Iterator[dict[str, Any]]:
    """The messages that a page gets; with ``last``, of one that was cut off after so many windows."""
    request = urllib.request.Request(f"{server.url}/live")
    if last is not None:
        request.add_header("Last-Event-ID", str(last))
    with urllib.request.urlopen(request) as reply:
        assert reply.headers["Content-Type"].startswith("text/event-stream")
        for number, data, _ in zip(reply, reply, reply, strict=True):
            message = json.loads(data.removeprefix(b"data: "))
            assert int(number.removeprefix(b"id: ")) == message["count"]
            yield message


def until(server: SearchServer, count: int, last: int | None = None) -> list[dict[str, Any]]:
    """Windows that a page gets until ``count`` were encoded."""
    found: list[dict[str, Any]] = []
    for message in watched(server, last):
        found += message["windows"]
        if message["count"] >= count:
            break
    return found


def test_datagrams_become_the_codes_of_their_windows_and_their_neighbours(searcher: Searcher) -> None:
    with UdpSource("127.0.0.1", 0, SENSOR) as source, shown(searcher, source) as server:
        send(EVENTS, source.port)
        found = until(server, 9)  # the last window has not ended
    assert len(found) == 9
    for window, got in enumerate(found):
        begin = int(EVENTS["t"][0]) + window * WINDOW
        events = EVENTS[(EVENTS["t"] >= begin) & (EVENTS["t"] < begin + WINDOW)]
        frames = events_to_frames(events, SENSOR, searcher.encoder.time_steps, searcher.encoder.size)
        assert (got["start"], got["end"]) == (begin / 1e6, (begin + WINDOW) / 1e6)
        assert got["events"] == len(events)
        assert got["code"] == searcher.encoder.encode(frames[None])[0].tobytes().hex()
        codes, _ = searcher.manifest.codes()
        code = np.frombuffer(bytes.fromhex(got["code"]), np.uint8)
        assert got["nearest"]["distance"] == np.unpackbits(codes ^ code, axis=1).sum(1).min()
        assert re.fullmatch(r"\d/\d{5}\.bin", got["nearest"]["name"])
        assert got["latency_ms"] > 0


def test_a_page_that_was_cut_off_goes_on_where_it_was(searcher: Searcher) -> None:
    with shown(searcher, endless(EVENTS)) as server:
        all_of_them = until(server, 9)
        assert until(server, 9, last=6) == all_of_them[6:]
        assert until(server, 9, last=9) == []
        assert until(server, 9, last=500) == all_of_them  # of a server that was started before this one


def test_only_the_last_windows_are_kept_and_dropped_ones_are_counted(searcher: Searcher) -> None:
    many = np.concatenate([EVENTS] * 12)
    many["t"] += np.repeat(np.arange(12) * 10 * WINDOW, len(EVENTS))
    with shown(searcher, Listed([many], waits=True)) as server:
        *_, last = watched(server)
        assert (last["count"], last["dropped"], last["ended"], last["error"]) == (120, 0, True, None)
        assert len(next(watched(server))["windows"]) == KEPT
    with shown(searcher, Listed([many], waits=False)) as server:
        *_, last = watched(server)
        assert 0 < last["count"] < 120
        assert last["count"] + last["dropped"] == 120
        assert last["said"] == [
            f"{last['dropped']} windows were dropped, since the encoder was slower than the stream: use a longer --hop"
        ]


def test_a_source_that_fails_is_told_and_the_server_stays(searcher: Searcher) -> None:
    class Failing(Listed):
        def __iter__(self) -> Iterator[Events]:
            yield from self._chunks
            raise RecordingError("the cable was pulled")

    with shown(searcher, Failing([EVENTS], waits=True)) as server:
        *_, last = watched(server)
        assert (last["count"], last["ended"], last["error"]) == (9, True, "the cable was pulled")
        with urllib.request.urlopen(f"{server.url}/health") as reply:
            assert json.load(reply)["status"] == "ok"


def test_only_so_many_watch_and_those_that_leave_make_room(searcher: Searcher) -> None:
    with shown(searcher, endless(EVENTS)) as server:
        pages = [watched(server) for _ in range(WATCHERS)]
        assert {next(page)["ended"] for page in pages} == {False}
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            next(watched(server))
        assert refused.value.headers["Retry-After"] == "1"
        refused.value.close()
        del pages  # which closes them
        while server.service._watchers:
            time.sleep(0.01)
        assert len(until(server, 9)) == 9


def test_the_description_has_the_stream(searcher: Searcher) -> None:
    with shown(searcher, endless()) as server, urllib.request.urlopen(f"{server.url}/openapi.json") as reply:
        described = json.load(reply)
        message = next(watched(server))
    assert set(described["paths"]["/live"]["get"]["responses"]) == {"200", "400", "403", "503"}
    assert set(message) == set(described["components"]["schemas"]["Live"]["required"])


@pytest.mark.parametrize(("size", "dark"), [(PHONE, True), (DESKTOP, False)])
def test_the_page_in_a_browser(chromium: "Browser", searcher: Searcher, size: tuple[int, int], dark: bool) -> None:
    scheme: Literal["dark", "light"] = "dark" if dark else "light"
    with (
        UdpSource("127.0.0.1", 0, SENSOR) as source,
        shown(searcher, source, "udp://HOST:PORT") as server,
        visit(chromium, server.url + "/", size, scheme) as opened,
    ):
        page = opened.page
        page.get_by_text("waiting for the first window").wait_for()
        send(EVENTS[: len(EVENTS) // 2], source.port)
        page.get_by_text(re.compile("[45] windows encoded, 0 dropped")).wait_for()
        send(EVENTS[len(EVENTS) // 2 :], source.port)
        page.get_by_text("9 windows encoded, 0 dropped").wait_for()
        rows = [row.split("\t") for row in page.locator("#live tbody tr").all_inner_texts()]
        expected = server.service.feed.since(0)["windows"]  # type: ignore[union-attr]
        assert [row[4] for row in rows] == [each["code"] for each in reversed(expected)]
        assert [row[0] for row in rows] == [f"{each['start']:.3f} s" for each in reversed(expected)]
        assert [row[1] for row in rows] == [each["nearest"]["label"] for each in reversed(expected)]
        assert page.inner_text("#now strong") == expected[-1]["nearest"]["label"]
        assert page.inner_text("#live-state") == ""
        page.set_input_files("#file", example("7"))  # and recordings are searched as before
        page.wait_for_selector("ol.cards li")
        assert opened.overflow() <= 0
        assert too_faint(page) == []
        assert opened.errors == []
        asked = {each.split("?")[0].removeprefix(server.url) for each in opened.requests}
        assert {each for each in asked if not each.startswith("data:")} == {"/", "/live", "/query"}


def test_a_stream_that_has_ended_is_told_on_the_page(chromium: "Browser", searcher: Searcher) -> None:
    with shown(searcher, Listed([EVENTS], waits=True)) as server, visit(chromium, server.url + "/") as opened:
        opened.page.get_by_text("the stream has ended").wait_for()
        assert opened.page.inner_text("#counts") == "10 windows encoded, 0 dropped"
        opened.page.wait_for_function("source.readyState === EventSource.CLOSED")
        assert opened.errors == []


def serve(index: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "deploy.search", "serve", "--index", str(index), "--port", "0", *options]


def test_the_command_shows_standard_input_and_ends_at_a_signal(index: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    FORMATS["EVT 3"][1](path, digits(), 34, 34)
    arguments = serve(index, "--live", "-", "--format", "raw", "--window", str(WINDOW // 1000))
    with subprocess.Popen(arguments, stdin=-1, stdout=-1, stderr=-1, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(path.read_bytes())
        process.stdin.flush()
        address = process.stdout.readline().decode().split()[-1]
        with urllib.request.urlopen(f"{address}/live") as reply:
            reply.readline()
            while json.loads(reply.readline().removeprefix(b"data: "))["count"] < 9:
                assert reply.readline() == b"\n"
                reply.readline()
            process.send_signal(signal.SIGTERM)  # while a page still looks
            assert process.wait(timeout=60) == 143
        said = process.communicate()[1].decode().splitlines()
    assert said == [
        "--window: cut into windows of 5 ms, but the network was trained on whole recordings of 0.289 to 0.308 s",
        "terminated",
    ]


def test_the_command_serves_datagrams(index: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = serve(index, "--live", f"udp://127.0.0.1:{port}", "--sensor", "34x34", "--window", "5")
    with subprocess.Popen(arguments, stdout=-1, stderr=-1, cwd=ROOT) as process:
        assert process.stdout is not None
        await_listener(port)
        address = process.stdout.readline().decode().split()[-1]
        send(EVENTS, port)
        with urllib.request.urlopen(f"{address}/live") as reply:
            reply.readline()
            while json.loads(reply.readline().removeprefix(b"data: "))["count"] < 9:
                assert reply.readline() == b"\n"
                reply.readline()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--window", "5"], "--window, --hop and --format are of a stream; give it too: --live SOURCE"),
        (["--live", "none.raw", "--window", "300"], "none.raw: cannot be read: No such file or directory"),
        (["--live", "-", "--format", "raw"], "no length of a window"),
    ],
)
def test_what_cannot_be_shown_is_one_line(index: Path, options: list[str], said: str) -> None:
    done = subprocess.run(serve(index, *options), capture_output=True, text=True, cwd=ROOT, input="")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr
