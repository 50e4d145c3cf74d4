"""Write the page: scripts bundled by esbuild, ONNX Runtime's WebAssembly and the model packed into it."""

import base64
import gzip
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2

from deploy.backends.encoders import load_hasher
from deploy.search.files import RecordingFile
from deploy.search.page import FILM_STEPS, LARGEST_FILM, film
from spikinghash.environments import in_checkout
from spikinghash.errors import GraphError, MissingToolError, RecordingError
from spikinghash.files import atomic_path
from training.data.facts import crop_of
from training.data.recordings import SensorSize, load_recording

HERE = Path(__file__).parent
RUNTIME = Path("onnxruntime-web/dist/ort-wasm-simd-threaded.wasm")
MOST_RECORDINGS = 500
"""Of an index in a page: all of it is searched, and each recording is drawn."""


def write_page(
    encoder: Path, sources: Sequence[RecordingFile], modules: Path, path: Path, sensor: SensorSize | None = None
) -> int:
    """Write a page that encodes recordings and finds the nearest of ``sources``; it is either whole or absent.

    Args:
        encoder: an .onnx model of a hash encoder.
        sources: recordings that are found.
        modules: the folder node_modules with the packages of ``package.json``.
        sensor: of recordings whose files do not tell it.

    Returns:
        Bytes of the page.

    Raises:
        GraphError: the encoder is no .onnx model.
        SpikinghashError: it gives classes, not codes.
        RecordingError: a recording cannot be used, or there are too many.
        MissingToolError: a package is missing.
    """
    if encoder.suffix != ".onnx":
        raise GraphError(f"{encoder}: a page runs .onnx models: write one with export.to_onnx")
    if not 1 <= len(sources) <= MOST_RECORDINGS:
        raise RecordingError(f"{len(sources)} recordings: a page holds 1 to {MOST_RECORDINGS}: give fewer")
    script, facts = bundle(modules), facts_of(encoder, sources, sensor)
    sample = {"name": sources[0].path.name, "content": base64.b64encode(sources[0].path.read_bytes()).decode()}
    loader = jinja2.FileSystemLoader([HERE, HERE.parent / "search"])
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    text = templates.get_template("page.html").render(
        facts=facts, sample=sample, script=script, runtime=packed(modules / RUNTIME), model=packed(encoder), nonce="",
        sensor="" if sensor is None else f"{sensor[0]}x{sensor[1]}",
    )  # fmt: skip
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return len(text.encode())


def facts_of(encoder: Path, sources: Sequence[RecordingFile], sensor: SensorSize | None) -> dict[str, Any]:
    """What the script knows of encoder and recordings: sizes, and code, label and film of each recording."""
    loaded = load_hasher(encoder, backend="onnxruntime")
    crop = crop_of(loaded.data)
    recordings = [replace(load_recording(source.path, sensor), crop=crop) for source in sources]
    entries = []
    for number, (source, recording) in enumerate(zip(sources, recordings, strict=True)):
        code = loaded.encode(recording.frames(loaded.time_steps, loaded.size)[None])[0].tobytes().hex()
        name = "/".join(source.path.parts[-2:])
        entries.append({"id": number, "name": name, "label": source.label, "code": code, "film": film(recording)})
    sizes = {"bits": loaded.bits, "steps": loaded.time_steps, "size": loaded.size, "crop": crop}
    return {**sizes, "entries": entries, "film": {"steps": FILM_STEPS, "largest": LARGEST_FILM}}


def bundle(modules: Path) -> str:
    """The scripts of the page and of the packages that they import, as one.

    Raises:
        MissingToolError: a package is missing, or does not fit.
    """
    esbuild = modules / ".bin" / "esbuild"
    if not esbuild.exists() or not (modules / RUNTIME).exists():
        place, wanted = modules.parent, HERE / "package.json"
        by_hand = f"mkdir -p {place} && cp {wanted} {place} && npm install --prefix {place}"
        remedy = "make web" if in_checkout() else by_hand
        raise MissingToolError(f"{modules}: no esbuild and onnxruntime-web in it: run `{remedy}`, which needs npm")
    command = [str(esbuild.resolve()), "app.js", "--bundle", "--minify", "--format=esm", "--charset=utf8"]
    # What ONNX Runtime asks for under Node.js is never reached in a browser.
    command += ["--external:node:*", "--external:worker_threads", "--log-level=error"]
    environment = {"NODE_PATH": str(modules.resolve())}
    made = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    if made.returncode:
        raise MissingToolError(f"esbuild: {' '.join(made.stderr.split())[:300]}")
    return made.stdout


def packed(path: Path) -> str:
    """A file, compressed, as text."""
    return base64.b64encode(gzip.compress(path.read_bytes(), 9, mtime=0)).decode()
