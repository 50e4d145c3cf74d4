"""What programs may ask the search server for, as an OpenAPI document."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from deploy.search.ranking import FINDS

_ERRORS = {
    "400": "the request is malformed",
    "403": "asked for under the name of another machine, or by a page of another site",
    "408": "the recording did not come in time",
    "411": "the length of the recording was not told in advance",
    "413": "the recording is too large",
    "415": "the name is not that of a recording",
    "422": "the recording cannot be used; the message says why",
    "500": "the server failed",
    "503": "too many recordings wait, or pages watch; Retry-After says when to come again",
}


def api_description(suffixes: Sequence[str], max_upload: int, neighbours: int, *, live: bool) -> dict[str, Any]:
    """The OpenAPI document of a server that takes recordings with ``suffixes``, of at most ``max_upload`` bytes."""
    events = {"text/event-stream": {"schema": {"type": "string"}}}
    summary = "Windows of a stream as they are encoded: server-sent events, the data of each as schema Live."
    watched = {"/live": {"get": _get(summary, events, "503")}} if live else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Spikinghash search", "version": version("spikinghash")},
        "paths": {
            "/": {"get": _get("The page.", {"text/html": {"schema": {"type": "string"}}})},
            "/health": {"get": _get("Whether the server answers, and how many uploads wait.", _json("Health"))},
            "/openapi.json": {"get": _get("This document.", {"application/json": {"schema": {"type": "object"}}})},
            "/query": {"post": _query(suffixes, max_upload, neighbours)},
            **watched,
        },
        "components": {"schemas": _SCHEMAS},
    }


def _get(summary: str, content: dict[str, Any], *refusals: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {"200": {"description": "done", "content": content}} | _errors("400", "403", *refusals),
    }


def _query(suffixes: Sequence[str], max_upload: int, neighbours: int) -> dict[str, Any]:
    name = {"type": "string", "pattern": rf"^[\w-]+({'|'.join(suffixes)})$".replace(".", r"\.")}
    return {
        "summary": f"The {neighbours} recordings that are nearest to one.",
        "parameters": [
            {"name": "name", "in": "query", "required": True, "schema": name,
             "description": "Name of the recording; its suffix tells the format."},
            {"name": "films", "in": "query", "schema": {"type": "boolean", "default": False},
             "description": "Whether to send the events of each recording as small pictures."},
            {"name": "find", "in": "query", "schema": {"enum": FINDS, "default": FINDS[0]},
             "description": "What is looked for: recordings of the same class, or the recording itself."},
            {"name": "sensor", "in": "query", "schema": {"type": "string", "pattern": "^[1-9][0-9]*x[1-9][0-9]*$"},
             "description": "WIDTHxHEIGHT in pixels, for a recording that does not tell it."},
        ],
        "requestBody": {
            "required": True,
            "description": f"The file as it is, at most {max_upload} bytes.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        "responses": {"200": {"description": "found", "content": _json("Answer")}} | _errors(*_ERRORS),
    }  # fmt: skip


def _errors(*statuses: str) -> dict[str, Any]:
    return {status: {"description": _ERRORS[status], "content": _json("Error")} for status in statuses}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _object(required: Sequence[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties if required is None else required)}


_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_FILM = {"$ref": "#/components/schemas/Film"}
_SPAN = {
    "start": {"type": "number", "description": "Of a window of a longer recording, in seconds."},
    "end": {"type": "number"},
}
_SCHEMAS = {
    "Error": _object(error=_TEXT),
    "Health": _object(status={"const": "ok"}, recordings=_COUNT, waiting=_COUNT),
    "Answer": _object(
        code={"type": "string", "pattern": "^([0-9a-f]{2})+$", "description": "Hash code; bit 0 is the highest bit."},
        bits=_COUNT,
        query=_object(
            ["name"],
            name=_TEXT,
            **_SPAN,
            film=_FILM,
            frames=_FILM,
            remarks={"type": "array", "items": _TEXT, "description": "Why the code may mean nothing."},
        ),
        find={"enum": FINDS},
        choice={"type": "string", "description": "Of how many candidates the hits are."},
        hits={"type": "array", "items": {"$ref": "#/components/schemas/Hit"}, "description": "Nearest first."},
    ),
    "Hit": _object(
        ["name", "label", "distance", "difference"],
        name={"type": "string", "description": "File and the folder that it is in."},
        label={"type": "string", "description": "Class."},
        distance={"type": "integer", "minimum": 0, "description": "Hamming distance in bits."},
        difference={"type": ["integer", "null"], "description": "Of the thumbnails, 0 to 960; null if it has none."},
        **_SPAN,
        film=_FILM,
        frames=_FILM,
        note={"type": "string", "description": "Why there is no film."},
    ),
    "Live": _object(
        count={**_COUNT, "description": "Windows encoded so far."},
        windows={"type": "array", "items": {"$ref": "#/components/schemas/Window"}, "description": "The new ones."},
        dropped={**_COUNT, "description": "Windows that were not encoded, since the encoder was too slow."},
        said={"type": "array", "items": _TEXT, "description": "What was left out."},
        ended={"type": "boolean", "description": "Whether no more will come."},
        error={"type": ["string", "null"], "description": "Why the source failed."},
    ),
    "Window": _object(
        start={"type": "number", "description": "Seconds on the clock of the stream."},
        end={"type": "number"},
        events=_COUNT,
        code={"type": ["string", "null"], "description": "Null if frames cannot be made of its events."},
        latency_ms={"type": "number", "description": "From the event that ended the window to its code."},
        nearest={"type": ["object", "null"], "description": "Label, distance and name of the nearest recording."},
    ),
    "Film": _object(
        size={"type": "integer", "description": "Width and height in pixels."},
        steps=_COUNT,
        events=_COUNT,
        bits={"type": "string", "description": "Base64 of the packed bits (steps, ON and OFF, rows, columns)."},
    ),
}
