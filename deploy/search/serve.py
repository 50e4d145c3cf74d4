"""A local web page on which a recording is dropped and its neighbours are seen, and the same as JSON.

HTTP is Starlette's and uvicorn's; what programs may ask for is described at ``/openapi.json``. The page is meant for
the machine that it runs on: there is no password. What a client sends is used in two ways only: the bytes go to a file
that the server names, in a folder of its own, and the name, cut to its last part, tells the format and stands in
messages. No path of a client is opened.
"""

import asyncio
import json
import logging
import os
import re
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import anyio
import h11
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from deploy.live.feed import Feed
from deploy.search.openapi import api_description
from deploy.search.page import TEMPLATES, TITLES, describe_answer
from deploy.search.ranking import FINDS, NEIGHBOURS, Find
from deploy.search.searcher import Searcher
from spikinghash.errors import RecordingError, SearchError, SpikinghashError
from spikinghash.files import private_folder
from training.data.events import SensorSize, parse_sensor
from training.data.reader import INPUTS

HEAD_SECONDS = 20.0
"""A client that has not told by then what it wants, first or next, is dropped."""
UPLOAD_SECONDS = 60.0
"""How long a recording may take to arrive."""
LINGER_SECONDS = 2.0
"""How long what a refused client still sends is read, so that it gets to see the refusal."""
CONCURRENT_QUERIES = min(4, os.cpu_count() or 1)
"""Queries answered at once. Bounds the memory."""
WAITING_QUERIES = 256
"""Uploads held at most, those that are answered included; further ones are told to come again."""
WAITING_BYTES = 16
"""What they may take together, in uploads of the largest size. Bounds the disk."""
WATCHERS = 32
"""Pages that may look at a live stream at once; each holds a connection."""
LIVE_SECONDS = 0.1
"""Between two looks at the stream for a page: windows that end within are sent together."""
BEAT_SECONDS = 1.0
"""A page hears so often that the server is there, whether or not windows end."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LONGEST_NAME = 80
_FIXED_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class SearchService:
    """The index and the uploads that wait for it, behind the application ``app``."""

    folder: Path
    """Where uploads lie while they are read; it is there while the application runs."""

    def __init__(self, searcher: Searcher, max_upload: int, feed: Feed | None = None, *, local: bool = True) -> None:
        """Take recordings of at most ``max_upload`` bytes.

        Args:
            feed: the stream that the page shows.
            local: answer only under names of this machine.
        """
        self.searcher, self.max_upload, self.feed = searcher, max_upload, feed
        self.closing = False
        """Whether pages that look at the stream are to be let go."""
        self._watchers = 0
        self.pool = anyio.CapacityLimiter(CONCURRENT_QUERIES)
        self.waiting = self.held = 0
        self.app = Starlette(
            routes=[
                Route("/", self._page),
                Route("/query", self._query, methods=["POST"]),
                Route("/health", self._health),
                Route("/openapi.json", self._openapi),
                *([] if feed is None else [Route("/live", self._live)]),
            ],
            middleware=[Middleware(_Guard, local=local)],
            exception_handlers={
                HTTPException: _refuse, SpikinghashError: _explain, ClientDisconnect: _forget, Exception: _fail,
            },
            lifespan=self._uploads,
        )  # fmt: skip

    @asynccontextmanager
    async def _uploads(self, _: Starlette) -> AsyncIterator[None]:
        with private_folder("spikinghash-uploads-") as self.folder:
            yield

    async def _page(self, _: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        page = TEMPLATES.get_template("serve.html").render(
            nonce=nonce, count=len(self.searcher), suffixes=INPUTS, limit=self.max_upload, titles=TITLES, feed=self.feed
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "recordings": len(self.searcher), "waiting": self.waiting})

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(api_description(INPUTS, self.max_upload, NEIGHBOURS, live=self.feed is not None))

    async def _live(self, request: Request) -> Response:
        assert self.feed is not None
        if self._watchers >= WATCHERS:
            raise HTTPException(503, f"{WATCHERS} pages look at the stream already", {"Retry-After": "1"})
        seen = request.headers.get("last-event-id", "")  # of a page that was cut off
        number = int(seen) if seen.isdecimal() and len(seen) < 16 else 0
        return StreamingResponse(self._messages(self.feed, number), media_type="text/event-stream")

    async def _messages(self, feed: Feed, seen: int) -> AsyncIterator[str]:
        """Server-sent events: what is new, as it comes."""
        self._watchers += 1
        try:
            last, spoken = None, 0.0
            while not self.closing:
                state, now = feed.since(seen), anyio.current_time()
                if state != last or now - spoken > BEAT_SECONDS:
                    seen, last, spoken = state["count"], {**state, "windows": []}, now
                    yield f"id: {seen}\ndata: {json.dumps(state)}\n\n"
                if state["ended"]:
                    return
                await anyio.sleep(LIVE_SECONDS)
        finally:
            self._watchers -= 1

    async def _query(self, request: Request) -> Response:
        length, asked = self._length(request.headers), _Asked.of(request.query_params)
        with self._place(length), tempfile.NamedTemporaryFile(dir=self.folder, suffix=asked.suffix) as file:
            await _receive(request, file, asked.name)
            return await anyio.to_thread.run_sync(self._answer, Path(file.name), asked, limiter=self.pool)

    def _answer(self, recording: Path, asked: "_Asked") -> Response:
        found = self.searcher.query(recording, NEIGHBOURS, name=asked.name, find=asked.find, sensor=asked.sensor)
        return JSONResponse(describe_answer(found, films=asked.films))

    def _length(self, headers: Headers) -> int:
        """Bytes that the client is going to send; uvicorn has checked that it is a number, and takes no more."""
        if "content-length" not in headers or "transfer-encoding" in headers:
            raise HTTPException(411, "the length of the recording must be told in advance")
        length = int(headers["content-length"])
        if length > self.max_upload:
            raise HTTPException(413, f"the recording has {length} bytes, at most {self.max_upload} are taken; cut it")
        return length

    @contextmanager
    def _place(self, length: int) -> Iterator[None]:
        """Room for one more upload of ``length`` bytes."""
        if self.waiting >= WAITING_QUERIES or self.held + length > WAITING_BYTES * self.max_upload:
            raise HTTPException(
                503, f"{self.waiting} recordings wait already; come again in a second", {"Retry-After": "1"}
            )
        self.waiting, self.held = self.waiting + 1, self.held + length
        try:
            yield
        finally:
            self.waiting, self.held = self.waiting - 1, self.held - length


@dataclass(frozen=True)
class _Asked:
    """The parameters of a query."""

    name: str
    suffix: str
    find: Find
    films: bool
    sensor: SensorSize | None

    @classmethod
    def of(cls, given: QueryParams) -> "_Asked":
        """Raises HTTPException where one of them cannot be used."""
        name, films, wanted = safe_name(given.get("name", "")), given.get("films", "false"), given.get("find", "class")
        find = next((find for find in FINDS if find == wanted), None)
        suffix = next((suffix for suffix in INPUTS if name.lower().endswith(suffix)), None)
        if suffix is None:
            raise HTTPException(415, f"{name or 'no name'}: no recording; use {', '.join(INPUTS)}")
        if films not in ("true", "false"):
            raise HTTPException(400, "films is true or false")
        if find is None:
            raise HTTPException(400, f"find is {' or '.join(FINDS)}")
        try:
            sensor = parse_sensor(given["sensor"], "sensor") if "sensor" in given else None
        except RecordingError as error:
            raise HTTPException(400, str(error)) from None
        return cls(name, suffix, find, films == "true", sensor)


async def _receive(request: Request, file: IO[bytes], name: str) -> None:
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for block in request.stream():
                file.write(block)
    except TimeoutError:
        raise HTTPException(408, f"{name}: it has not come within {UPLOAD_SECONDS:g} s") from None
    file.flush()


class _Refusal(JSONResponse):
    """An answer that a client gets to see although it is still sending: closing at once would hide it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*self.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (await receive()).get("more_body"):
                    pass
        await send({"type": "http.response.body"})


class _Guard:
    """Keeps out pages of other sites that the user has open: they can reach this machine, under other names."""

    def __init__(self, app: ASGIApp, local: bool) -> None:
        self._app, self._local = app, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_fixed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_FIXED_HEADERS)
            await send(message)

        refusal = self._refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send_fixed)

    def _refusal(self, headers: Headers) -> Response | None:
        try:
            host = urlsplit(f"//{headers.get('host', '')}").hostname
            origin = urlsplit(headers["origin"]).netloc if "origin" in headers else None
        except ValueError:
            return _Refusal({"error": "Host or Origin is no address"}, 400)
        if self._local and host not in LOOPBACK:
            return _Refusal({"error": "asked for under the name of another machine"}, 403)
        if origin is not None and origin != headers.get("host"):
            return _Refusal({"error": "asked for by a page of another site"}, 403)
        return None


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _Refusal({"error": error.detail}, error.status_code, error.headers)


async def _explain(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 422)


async def _forget(_: Request, error: Exception) -> Response:
    """What would be answered to a client that has gone: nobody reads it."""
    return Response(status_code=400)


async def _fail(_: Request, error: Exception) -> Response:
    """The page stays up, whatever one recording leads to; Starlette passes the error on to uvicorn, which logs it."""
    return JSONResponse({"error": "the server failed; see its terminal"}, 500)


class _Protocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, without three things that a client could do."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Drop a client that connects and asks for nothing."""
        super().connection_made(transport)
        self._drop_unless_asked()

    def on_response_complete(self) -> None:
        """Drop a client that goes on sending what is answered already, or begins a next request and never ends it."""
        if self.conn.their_state is h11.SEND_BODY:
            self.transport.close()
        self._drop_unless_asked()
        super().on_response_complete()

    def _drop_unless_asked(self) -> None:
        """Close the connection where no further request comes in time."""
        last = self.cycle
        self.loop.call_later(HEAD_SECONDS, lambda: self.transport.close() if self.cycle is last else None)

    def send_400_response(self, msg: str) -> None:
        """Refuse malformed bytes; where they follow the head of a request, uvicorn would go on to answer it as well."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()


class SearchServer(uvicorn.Server):
    """A ``SearchService`` that listens on an address from the start, and answers while ``run`` runs."""

    def __init__(self, searcher: Searcher, address: tuple[str, int], max_upload: int, feed: Feed | None = None) -> None:
        """Listen on ``address``; recordings of at most ``max_upload`` bytes are taken, and ``feed`` is shown.

        Raises:
            OSError, OverflowError: the address cannot be used.
        """
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.create_server(address, family=family)
        self.local = address[0] in LOOPBACK
        self.service = SearchService(searcher, max_upload, feed, local=self.local)
        config = uvicorn.Config(
            self.service.app, http=_Protocol, ws="none", lifespan="on", log_config=None, log_level=logging.ERROR,
            proxy_headers=False, server_header=False, timeout_graceful_shutdown=int(LINGER_SECONDS),
        )  # fmt: skip
        super().__init__(config)

    @property
    def url(self) -> str:
        """Address of the page."""
        host, port = self.socket.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until a signal comes or ``should_exit`` is set."""
        super().run(sockets or [self.socket])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; clients that are cut off now are no errors to be told."""
        self.service.closing = True
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def safe_name(name: str) -> str:
    """The last part of a path that a client sent, of printable characters, fit for messages."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(letter for letter in last if letter.isprintable())[-_LONGEST_NAME:]


def serve(
    searcher: Searcher,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_upload: int = 16 * 2**20,
    feed: Feed | None = None,
) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Args:
        host: address to listen on; any but that of this machine lets others in.
        port: 0 for any that is free.
        max_upload: longest recording that is taken, in bytes.
        feed: a live stream that the page shows; it is not started here.

    Raises:
        SearchError: the address cannot be used.
    """
    try:
        server = SearchServer(searcher, (host, port), max_upload, feed)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SearchError(f"--host {host} --port {port}: {reason}; use another port") from None
    print(f"serving on {server.url}", flush=True)
    if not server.local:
        print("anyone who reaches this address can search; there is no password", flush=True)
    server.run()
