"""The local search page: end to end in a browser with real recordings, and hostile requests through raw sockets."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest
import schemathesis
from browser import PHONE, too_faint, visit
from schemathesis import GenerationMode
from search_cases import small_encoder as small_encoder
from search_cases import write_bad_files, write_random_folder

from deploy.backends.encoders import load_encoder
from deploy.search import serve as module
from deploy.search.building import add_sources
from deploy.search.files import find_sources
from deploy.search.page import describe_answer
from deploy.search.searcher import Searcher
from deploy.search.serve import SearchServer, safe_name
from deploy.search.store import open_or_create
from export.encoder.network import load_network
from export.onnx.to_onnx import export_onnx
from spikinghash.errors import SearchError
from spikinghash.files import private_folder
from tests.servers import running
from training.data.recordings import load_recording

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 1 << 20


def build(folder: Path, encoder: Path, recordings: list[Path]) -> Path:
    manifest = open_or_create(folder, encoder, load_encoder(encoder).bits, "flat", None, None)
    report = add_sources(folder, manifest, [source for path in recordings for source in find_sources(path)])
    assert not report.errors
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_random_folder(tmp_path_factory.mktemp("recordings"), classes=2, each=3)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, small_encoder: Path, recordings: list[Path]) -> Path:
    return build(tmp_path_factory.mktemp("index"), small_encoder, recordings)


def started(searcher: Searcher) -> AbstractContextManager[SearchServer]:
    return running(SearchServer(searcher, ("127.0.0.1", 0), LIMIT))


@pytest.fixture(scope="module")
def server(index: Path) -> Iterator[SearchServer]:
    with started(Searcher(index)) as server:
        yield server


def exchange(server: SearchServer, request: bytes) -> tuple[bytes, bytes]:
    """Send raw bytes; head and body of the answer."""
    with socket.create_connection(server.socket.getsockname(), timeout=60) as client:
        client.sendall(request)
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def ask(server: SearchServer, request: bytes) -> tuple[int, dict[str, Any]]:
    """Send raw bytes; status and JSON of the answer."""
    head, body = exchange(server, request)
    return int(head.split()[1]), json.loads(body)


def uploads(server: SearchServer) -> list[Path]:
    return list(server.service.folder.iterdir())


def post(content: bytes, name: str, *headers: str, length: object = None) -> bytes:
    told = len(content) if length is None else length
    fixed = ["Host: 127.0.0.1", f"Content-Length: {told}", "Connection: close"]
    lines = [f"POST /query?name={name} HTTP/1.1", *fixed, *headers, "", ""]
    return "\r\n".join(lines).encode() + content


def test_a_recording_finds_itself(server: SearchServer, recordings: list[Path]) -> None:
    status, answer = ask(server, post(recordings[4].read_bytes(), "mine.bin"))
    assert status == 200
    assert answer["query"]["name"] == "mine.bin"
    direct = server.service.searcher.query(recordings[4])
    assert answer["code"] == direct.code
    assert [hit["distance"] for hit in answer["hits"]] == [hit.distance for hit in direct.hits]
    assert answer["hits"][0]["distance"] == 0
    assert not uploads(server)


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (post(b"", "a.bin", length=2 * 2**30), 413, r"2147483648 bytes, at most 1048576 are taken"),
        (post(b"12345", "a.bin", "Transfer-Encoding: chunked"), 411, "told in advance"),
        (b"POST /query?name=a.bin HTTP/1.1\r\nHost: localhost\r\n\r\n", 411, "told in advance"),
        (post(b"12345", "a.exe"), 415, r"a\.exe: no recording; use \.bin"),
        (post(b"12345", ""), 415, "no name: no recording"),
        (post(b"12345", "..%2f..%2fetc%2fpasswd"), 415, "^passwd: no recording"),
        (post(b"12345", "a.bin&films=2"), 400, "films is true or false"),
        (post(b"12345", "a.bin&find=all"), 400, "find is class or recording"),
        (post(b"12345", "a.npy&sensor=34"), 400, "sensor 34: WIDTHxHEIGHT in pixels is needed"),
        (post(b"12345", "a.npy&sensor=0x0"), 400, "sensor 0x0: WIDTHxHEIGHT"),
        (post(b"12345", "a.npy&sensor=99999999x9"), 400, "sensor"),
        (post(b"12345", "a.bin", "Origin: http://elsewhere.example"), 403, "another site"),
        (post(b"12345", "a.bin", "Origin: null"), 403, "another site"),
        (post(b"12345", "a.bin", "Origin: http://[1"), 400, "no address"),
        (b"POST /query?name=a.bin HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", 403, "another machine"),
        (b"POST /query?name=a.bin HTTP/1.0\r\nContent-Length: 0\r\n\r\n", 403, "another machine"),
        (b"GET / HTTP/1.1\r\nHost: [1\r\n\r\n", 400, "no address"),
        (b"GET /query HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "Not Allowed"),
        (b"POST /../../query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 404, "Not Found"),
        (b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "Not Found"),
        (b"GET /page.html HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "Not Found"),
    ],
)  # fmt: skip
def test_refusals(server: SearchServer, request_: bytes, status: int, message: str) -> None:
    found, answer = ask(server, request_)
    assert found == status
    assert re.search(message, answer["error"])
    assert not uploads(server)


@pytest.mark.parametrize(
    "request_",
    [
        b"no request\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        post(b"", "a.bin", length=-1),
        post(b"", "a.bin", length="9" * 400),
        post(b"", "a.bin", "Content-Length: 7", length=5),
        post(b"no chunk\r\n", "a.bin", "Transfer-Encoding: chunked"),
    ],
)
def test_malformed_heads_are_400(server: SearchServer, request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    head, _ = exchange(server, request_)
    assert head.startswith(b"HTTP/1.1 400")
    assert not caplog.records


def test_bad_recordings_get_a_message_of_one_line(server: SearchServer, tmp_path: Path) -> None:
    messages = write_bad_files(tmp_path)
    del messages["huge.bin"]
    for name, message in messages.items():
        status, answer = ask(server, post((tmp_path / name).read_bytes(), name))
        assert status == 422
        assert message in answer["error"]
        assert answer["error"].startswith(name)
        assert "\n" not in answer["error"]
        assert str(server.service.folder) not in answer["error"]


def test_an_upload_that_breaks_off_leaves_nothing(
    server: SearchServer, recordings: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    content = recordings[0].read_bytes()
    with socket.create_connection(server.socket.getsockname()) as client:
        client.sendall(post(content[:100], "a.bin", length=len(content)))
        wait_until(lambda: len(uploads(server)) == 1)
    wait_until(lambda: not uploads(server) and not server.service.waiting)
    assert not caplog.records


def wait_until(done: Callable[[], bool]) -> None:
    while not done():  # the test's own time limit ends it
        time.sleep(0.01)


def test_a_client_that_stalls_is_dropped(server: SearchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPLOAD_SECONDS", 0.3)
    status, answer = ask(server, post(b"12345", "a.bin", length=100))
    assert (status, answer["error"]) == (408, "a.bin: it has not come within 0.3 s")
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.3)
    assert exchange(server, b"GET / HTTP/1.1\r\n") == (b"", b"")


def test_a_connection_is_kept_until_a_refusal(server: SearchServer, recordings: list[Path]) -> None:
    with closing(http.client.HTTPConnection(*server.socket.getsockname())) as client:
        for number in (0, 4, 1):
            client.request("POST", "/query?name=a.bin", recordings[number].read_bytes())
            kept = client.sock
            answer = client.getresponse()
            assert json.load(answer)["code"] == server.service.searcher.query(recordings[number]).code
            assert client.sock is kept
        client.request("POST", "/query?name=a.exe", b"12345")
        assert client.getresponse().headers["Connection"] == "close"


def test_a_kept_connection_is_dropped_when_its_next_request_stalls(
    server: SearchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.3)
    head, body = exchange(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body)["status"] == "ok"


def test_a_client_that_sends_on_after_its_answer_is_dropped(server: SearchServer) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n" + bytes(1000)
    with socket.create_connection(server.socket.getsockname(), timeout=60) as client:
        client.sendall(request)
        with pytest.raises(ConnectionError):
            sum(client.send(bytes(1 << 16)) for _ in range(100_000))


def test_a_full_server_says_when_to_come_again(server: SearchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("WAITING_QUERIES", "WAITING_BYTES"):
        with monkeypatch.context() as patched:
            patched.setattr(module, limit, 0)
            head, body = exchange(server, post(b"12345", "a.bin"))
        assert head.startswith(b"HTTP/1.1 503")
        assert b"\r\nretry-after: 1\r\n" in head.lower()
        assert json.loads(body) == {"error": "0 recordings wait already; come again in a second"}
    assert ask(server, post(b"12345", "a.bin"))[0] == 422


def test_the_refusal_reaches_a_client_that_goes_on_sending(server: SearchServer) -> None:
    status, answer = ask(server, post(bytes(3 * LIMIT), "a.bin"))
    assert status == 413
    assert "at most 1048576" in answer["error"]


def test_names_and_paths_of_clients_are_never_opened(
    server: SearchServer, recordings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    searcher = server.service.searcher
    query = searcher.query
    monkeypatch.setattr(
        searcher, "query", lambda path, *rest, **named: (opened.append(path), query(path, *rest, **named))[1]
    )
    content = recordings[0].read_bytes()
    for name in (
        "..%2f..%2fx.bin",
        "%2fetc%2fx.bin",
        "C:%5Cx.bin",
        "..%5c..%5cx.bin",
        "x%00%0d%0a.bin",
        "a" * 900 + ".bin",
    ):
        status, answer = ask(server, post(content, name))
        assert status == 200
        assert re.fullmatch(r"x\.bin|a+\.bin", answer["query"]["name"])
    assert {path.parent for path in opened} == {server.service.folder}
    assert all(re.fullmatch(r"tmp\w{8}\.bin", path.name) for path in opened)
    assert safe_name("../" * 5) == ""


def test_many_at_once_get_their_own_answers(server: SearchServer, recordings: list[Path]) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda path: ask(server, post(path.read_bytes(), "a.bin")), recordings * 4))
    assert [status for status, _ in answers] == [200] * 24
    expected = [server.service.searcher.query(path).code for path in recordings]
    assert [answer["code"] for _, answer in answers] == expected * 4


def test_a_failure_inside_leaves_the_server_up(
    server: SearchServer, recordings: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(server.service.searcher, "query", lambda *_, **__: 1 // 0)
        status, answer = ask(server, post(recordings[0].read_bytes(), "a.bin"))
        assert (status, answer["error"]) == (500, "the server failed; see its terminal")
    assert "ZeroDivisionError" in caplog.text
    assert ask(server, post(recordings[0].read_bytes(), "a.bin"))[0] == 200


def test_the_page_says_what_browsers_may_do(server: SearchServer) -> None:
    with urllib.request.urlopen(server.url) as reply:
        policy = reply.headers["Content-Security-Policy"]
        page = reply.read().decode()
    assert "default-src 'none'" in policy
    nonce = re.search("script-src 'nonce-([^']+)'", policy)[1]  # type: ignore[index]
    assert page.count(f'nonce="{nonce}"') == len(re.findall("<(?:script|style)", page))


def test_health_tells_how_many_wait(server: SearchServer, recordings: list[Path]) -> None:
    with urllib.request.urlopen(f"{server.url}/health") as reply:
        assert json.load(reply) == {"status": "ok", "recordings": len(recordings), "waiting": 0}


def test_films_are_sent_when_asked_for(server: SearchServer, recordings: list[Path]) -> None:
    content = recordings[0].read_bytes()
    _, without = ask(server, post(content, "a.bin"))
    _, also = ask(server, post(content, "a.bin&films=true"))
    assert also == describe_answer(server.service.searcher.query(recordings[0], name="a.bin"))
    for shown in (also["query"], *also["hits"]):
        del shown["film"], shown["frames"]
    assert without == also


@pytest.fixture(scope="module")
def bare(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fifth recording in a file that does not tell its sensor."""
    path = tmp_path_factory.mktemp("bare") / "bare.npy"
    np.save(path, load_recording(recordings[4]).events)
    return path


def test_a_sensor_is_told_where_a_recording_does_not(
    server: SearchServer, index: Path, recordings: list[Path], bare: Path
) -> None:
    content, known = bare.read_bytes(), describe_answer(server.service.searcher.query(recordings[4], name="a"))
    status, refusal = ask(server, post(content, "bare.npy"))
    assert status == 422
    assert refusal["error"].startswith("bare.npy: it does not tell the size of its sensor")
    for text, side in (("34x34", 34), ("340x340", 96)):
        status, answer = ask(server, post(content, f"bare.npy&films=true&sensor={text}"))
        assert (status, answer["query"]["film"]["size"]) == (200, side)
        assert (answer["query"]["frames"] == known["query"]["frames"]) == (side == 34)
    own = Searcher(index, sensor=(34, 34, 2)).query(bare, name="a")
    assert describe_answer(own) == known


def test_the_page_asks_for_the_sensor(chromium: "Browser", server: SearchServer, bare: Path) -> None:
    with visit(chromium, server.url + "/", size=PHONE) as opened:
        page = opened.page
        page.set_input_files("#file", bare)
        page.wait_for_selector("#state.error")
        assert "bare.npy: it does not tell the size of its sensor" in page.inner_text("#state")
        page.get_by_label("Sensor").fill("34x34")
        page.get_by_label("Sensor").press("Enter")
        page.wait_for_selector("ol.cards li")
        assert "distance 0" in page.locator("ol.cards li").first.inner_text()
        assert opened.overflow() <= 0
        assert too_faint(page) == []


def test_the_recording_itself_is_looked_for(server: SearchServer, recordings: list[Path]) -> None:
    status, answer = ask(server, post(recordings[4].read_bytes(), "a.bin&find=recording"))
    assert (status, answer["find"]) == (200, "recording")
    assert answer["hits"][0] == {"name": "c1/001.bin", "label": "c1", "distance": 0, "difference": 0}
    differences = [hit["difference"] for hit in answer["hits"]]
    assert differences == sorted(differences)
    assert answer["choice"] == f"{len(answer['hits'])} of {len(answer['hits'])} within distance 3"


@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        ("GET /", GenerationMode.POSITIVE),
        ("GET /health", GenerationMode.POSITIVE),
        ("POST /query", GenerationMode.POSITIVE),
        ("POST /query", GenerationMode.NEGATIVE),
    ],
)
def test_the_description_is_kept(server: SearchServer, operation: str, mode: GenerationMode) -> None:
    """Requests within it and beyond. Those within may be refused: no schema tells which bytes are a recording."""
    method, path = operation.split()
    described = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    assert len(list(described.get_all_operations())) == 3

    @hypothesis.settings(max_examples=15, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(described[path][method].as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=[schemathesis.checks.positive_data_acceptance])

    check()


def test_an_address_in_use_is_an_error(server: SearchServer) -> None:
    port = server.socket.getsockname()[1]
    with pytest.raises(SearchError, match=f"--port {port}: Address already in use"):
        module.serve(server.service.searcher, port=port)


@contextmanager
def command(index: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``deploy.search serve`` as a program with ``folder`` for temporary files, and its address."""
    arguments = [sys.executable, "-m", "deploy.search", "serve", "--index", str(index), "--port", "0"]
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(arguments, cwd=ROOT, env=environment, text=True, stdout=-1, stderr=-1) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            address = re.fullmatch(r"serving on (http://127\.0\.0\.1:\d+)\n", line)
            assert address, process.communicate()
            with urllib.request.urlopen(address[1]) as reply:
                assert reply.status == 200
            yield process, address[1]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_command(index: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Even while a recording is on its way."""
    with command(index, tmp_path) as (process, address), stalled(address):
        wait_until(lambda: any(tmp_path.glob("spikinghash-*/*.bin")))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) in [(130, "", "interrupted\n"), (143, "", "terminated\n")]
    assert not folders(tmp_path)


def test_a_start_removes_what_a_killed_server_left(index: Path, tmp_path: Path) -> None:
    with command(index, tmp_path) as (process, address), stalled(address):
        wait_until(lambda: any(tmp_path.glob("spikinghash-*/*.bin")))
        with private_folder("spikinghash-uploads-", tmp_path):
            assert len(folders(tmp_path)) == 2  # that of a running one stays
        process.kill()
        process.wait()
    (left,) = folders(tmp_path)
    assert list(left.iterdir())
    with private_folder("spikinghash-uploads-", tmp_path) as folder:
        assert folders(tmp_path) == [folder]


def folders(place: Path) -> list[Path]:
    return list(place.glob("spikinghash-*"))


@contextmanager
def stalled(address: str) -> Iterator[None]:
    """A client that sends a part of a recording and no more."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(post(b"12345", "a.bin", length=100))
        yield


def test_real_recordings_end_to_end(chromium: "Browser", nmnist_folder: Path, tmp_path: Path) -> None:
    """The committed encoder, real recordings of N-MNIST, and a user who chooses one and drops another."""
    export_onnx(load_network(ROOT / "checkpoints" / "digits.pt"), tmp_path / "encoder.onnx")
    digits = [
        path for digit in range(10) for path in sorted((nmnist_folder / f"NMNIST/Train/{digit}").glob("*.bin"))[:3]
    ]
    searcher = Searcher(build(tmp_path / "index", tmp_path / "encoder.onnx", digits))
    (tmp_path / "broken.bin").write_bytes(digits[0].read_bytes()[:-2])
    with started(searcher) as server, visit(chromium, server.url + "/", size=PHONE, colour_scheme="dark") as opened:
        page = opened.page
        assert "Search 30 recordings" in page.inner_text("h1")
        page.set_input_files("#file", digits[12])
        page.wait_for_selector("ol.cards li")
        assert "distance 0" in page.locator("ol.cards li").first.inner_text()
        assert f"4/{digits[12].name}" in page.inner_text("ol.cards")
        assert page.locator("ol.cards li").count() == 10
        page.get_by_role("button", name="Same recording").click()
        page.get_by_text("within distance 12").wait_for()
        assert "distance 0, difference 0" in page.locator("ol.cards li").first.inner_text()
        assert f"4/{digits[12].name}" in page.locator("ol.cards li").first.inner_text()
        page.get_by_role("button", name="Beside the query").first.click()
        assert page.locator(".pair canvas").count() == 2
        assert page.evaluate(
            "document.querySelector('canvas').getContext('2d').getImageData(0, 0, 34, 34).data.some(Boolean)"
        )
        assert opened.overflow() <= 0
        assert too_faint(page) == []
        assert opened.errors == []
        assert {request.split("?")[0] for request in opened.requests if not request.startswith("data:")} == {
            server.url + "/", server.url + "/query",
        }  # fmt: skip
        page.set_input_files("#file", tmp_path / "broken.bin")
        page.wait_for_selector("#state.error")
        assert "broken.bin: truncated" in page.inner_text("#state")
        _drop(page, digits[3])
        page.wait_for_selector("ol.cards li")
        assert digits[3].name in page.inner_text("ul.query")


def _drop(page: Any, path: Path) -> None:
    """Let go of a file over the page, as a mouse would."""
    transfer = page.evaluate_handle(
        """([bytes, name]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], name));
          return transfer;
        }""",
        [list(path.read_bytes()), path.name],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
