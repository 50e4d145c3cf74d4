"""A local web page on which a recording is dropped and its neighbours are seen.

It is meant for the machine it runs on: there is no password. What a client sends is used in two ways only: the bytes go
to a file that the server names, and the name, cut to its last part, tells the format and stands in messages. No path of
a client is opened.
"""

import json
import re
import secrets
import socket
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from deploy.search.files import SUFFIXES
from deploy.search.page import TEMPLATES, describe_answer
from deploy.search.searcher import Searcher
from spikinghash.errors import RecordingError, SearchError, SpikinghashError

NEIGHBOURS = 10
STALL_SECONDS = 20.0
"""A client that sends nothing for so long is dropped."""
LINGER_SECONDS = 2.0
"""How long what a refused client still sends is read, so that it gets to see the refusal."""
CONCURRENT_QUERIES = 2
"""Queries answered at once; others wait. Bounds the memory."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_BLOCK = 1 << 16
_LONGEST_NAME = 80


class _RefusedError(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class SearchServer(ThreadingHTTPServer):
    """Answers ``GET /`` with the page and ``POST /query?name=FILE`` with JSON; each request has its own thread."""

    daemon_threads = True

    def __init__(self, searcher: Searcher, address: tuple[str, int], max_upload: int, folder: Path) -> None:
        """Listen on ``address``; uploads of at most ``max_upload`` bytes lie in ``folder`` while they are read."""
        self.searcher, self.max_upload, self.folder = searcher, max_upload, folder
        self.slots = threading.BoundedSemaphore(CONCURRENT_QUERIES)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.local = address[0] in LOOPBACK
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        """Address of the page."""
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an unforeseen error; clients that went away are none."""
        error = traceback.format_exc()
        if not re.search(r"^(ConnectionResetError|BrokenPipeError|TimeoutError)", error, re.MULTILINE):
            print(error, flush=True)


class _Handler(BaseHTTPRequestHandler):
    server: SearchServer
    timeout = STALL_SECONDS
    server_version, sys_version = "spikinghash", ""

    def do_GET(self) -> None:
        self._answer(self._page)

    def do_POST(self) -> None:
        self._answer(self._query)

    def _answer(self, make: Any) -> None:
        try:
            self._check_origin()
            make()
        except _RefusedError as refusal:
            self._send_json(refusal.status, {"error": str(refusal)})
            self._linger()
        except SpikinghashError as error:
            self._send_json(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)})
        except (ConnectionError, TimeoutError):
            raise
        except Exception:  # the page stays up, whatever one recording leads to
            traceback.print_exc()
            self._send_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "the server failed; see its terminal"})

    def _check_origin(self) -> None:
        """Keep out pages of other sites that the user has open: they can reach this machine, under other names."""
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if self.server.local and host not in LOOPBACK:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "asked for under the name of another machine")
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.headers.get("Host"):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "asked for by a page of another site")

    def _page(self) -> None:
        if urlsplit(self.path).path != "/":
            raise _RefusedError(HTTPStatus.NOT_FOUND, "there is one page, /")
        nonce = secrets.token_urlsafe(16)
        searcher = self.server.searcher
        page = TEMPLATES.get_template("serve.html").render(
            nonce=nonce, count=len(searcher), suffixes=SUFFIXES, limit=self.server.max_upload
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", page.encode(), {"Content-Security-Policy": policy})

    def _query(self) -> None:
        url = urlsplit(self.path)
        if url.path != "/query":
            raise _RefusedError(HTTPStatus.NOT_FOUND, "recordings go to /query")
        length = self._length()
        name = safe_name(parse_qs(url.query).get("name", [""])[0])
        suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), None)
        if suffix is None:
            raise _RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{name or 'no name'}: no recording; use {', '.join(SUFFIXES)}"
            )
        with tempfile.NamedTemporaryFile(dir=self.server.folder, suffix=suffix) as file:
            self._receive(file, length, name)
            with self.server.slots:
                answer = self.server.searcher.query(Path(file.name), NEIGHBOURS, name=name)
                described = describe_answer(answer)
        self._send_json(HTTPStatus.OK, described)

    def _length(self) -> int:
        """Bytes that the client is going to send."""
        text = self.headers.get("Content-Length")
        if text is None or "Transfer-Encoding" in self.headers:
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "the length of the recording must be told in advance")
        if not re.fullmatch(r"[0-9]{1,15}", text):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "Content-Length is no number")
        if int(text) > self.server.max_upload:
            raise _RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the recording has {int(text)} bytes, at most {self.server.max_upload} are taken; cut it",
            )
        return int(text)

    def _receive(self, file: Any, length: int, name: str) -> None:
        missing = length
        while missing:
            try:
                block = self.rfile.read1(min(missing, _BLOCK))
            except TimeoutError:
                raise _RefusedError(
                    HTTPStatus.REQUEST_TIMEOUT, f"{name}: nothing came for {STALL_SECONDS:g} s"
                ) from None
            if not block:
                raise RecordingError(f"{name}: cut off: {length - missing} of {length} bytes came; send it again")
            file.write(block)
            missing -= len(block)
        file.flush()

    def _send_json(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(content).encode(), {})

    def _send(self, status: HTTPStatus, kind: str, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        fixed = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        for header, value in (fixed | headers).items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(content)

    def _linger(self) -> None:
        """Read what a refused client still sends for a moment: closing at once would hide the answer from it."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        end = time.monotonic() + LINGER_SECONDS
        with suppress(OSError):
            while (left := end - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not self.connection.recv(_BLOCK):
                    return

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests that went well or were refused."""


def safe_name(name: str) -> str:
    """The last part of a path that a client sent, of printable characters, fit for messages."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(letter for letter in last if letter.isprintable())[-_LONGEST_NAME:]


def serve(searcher: Searcher, host: str = "127.0.0.1", port: int = 8000, max_upload: int = 16 * 2**20) -> None:
    """Serve the page until Ctrl-C.

    Args:
        host: address to listen on; any but that of this machine lets others in.
        port: 0 for any that is free.
        max_upload: longest recording that is taken, in bytes.

    Raises:
        SearchError: the address cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="spikinghash-", ignore_cleanup_errors=True) as folder:
        try:
            server = SearchServer(searcher, (host, port), max_upload, Path(folder))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SearchError(f"--host {host} --port {port}: {reason}; use another port") from None
        with server:
            print(f"serving on {server.url}", flush=True)
            if not server.local:
                print("anyone who reaches this address can search; there is no password", flush=True)
            server.serve_forever()
