"""Commands do what people expect of them: names are guessed, kinds of files named, and one bad file stops nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import spikinghash
from deploy.backends.run import main as run_command
from deploy.energy.mapping.__main__ import main as place_command
from deploy.search.__main__ import main as search_command
from spikinghash.__main__ import COMMANDS
from spikinghash.resources import CHECKPOINTS, RECORDINGS, example
from tests.commands import Call

DIGITS = CHECKPOINTS / "digits.onnx"


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spikinghash", *arguments], capture_output=True, text=True, timeout=100
    )


def test_it_tells_its_version() -> None:
    done = program("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"spikinghash {spikinghash.__version__}\n", "")


def test_a_mistyped_command_is_guessed() -> None:
    done = program("serch")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no command 'serch'; did you mean 'search'?\n")
    assert "did you mean" not in program("xyzzy").stderr


def test_completion_completes(tmp_path: Path) -> None:
    script = program("completion", "bash").stdout
    (tmp_path / "spikinghash").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m spikinghash "$@"\n')
    (tmp_path / "spikinghash").chmod(0o755)
    ask = '{script}\nPATH={folder}:$PATH COMP_WORDS=({words}) COMP_CWORD={at}; _spikinghash; echo "${{COMPREPLY[@]}}"'

    def completed(at: int, words: str) -> list[str]:
        text = ask.format(script=script, folder=tmp_path, words=words, at=at)
        root = Path(spikinghash.__file__).parents[1]
        done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, cwd=root, timeout=100)
        assert done.stderr == ""
        return done.stdout.split()

    assert completed(1, "spikinghash to-") == ["to-c", "to-nir", "to-onnx", "to-sanafe"]
    assert set(completed(1, "spikinghash ''")) == set(COMMANDS)
    assert completed(2, "spikinghash run --back") == ["--backend"]
    assert set(COMMANDS) <= set(program("completion", "fish").stdout.replace("'", " ").split())


def test_an_encoder_that_comes_along_is_run_by_its_name(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(run_command, "digits", example("7"))
    assert (done.code, done.out) == (0, f"8ed1c341  {example('7')}\n")


def test_one_recording_loads_no_large_library() -> None:
    heavy = ("torch", "onnxruntime", "numba", "scipy", "nir", "h5py", "faiss", "matplotlib")
    script = (
        "import sys; from pathlib import Path; from deploy.backends.run import main; "
        f"main(Path({str(DIGITS)!r}), [Path({str(example('7'))!r})]); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines() == [f"8ed1c341  {example('7')}", "[]"], done.stderr


def test_an_export_loads_only_what_it_uses(tmp_path: Path) -> None:
    unused = ("numba", "scipy.stats", "norse", "matplotlib", "sympy", "torch._dynamo", "torchvision")
    script = f"""
import sys
from pathlib import Path
from deploy.backends import to_nir
from export.onnx import to_onnx
for command, name in ((to_nir, "a.nir"), (to_onnx, "a.onnx")):
    command.main(Path("digits"), Path({str(tmp_path)!r}) / name)
print([name for name in {unused} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.onnx",), "error: absent.onnx: no such file\n"),
        (("checkpoints/nmnist.onnx",), "nmnist.onnx: no such file; 'nmnist' comes along, by this name\n"),
        (
            (DIGITS, "--backend", "onxruntime"),
            "use events or numpy or onnxruntime or onnxreference or openvino or mnn or iree or tract or ncnn; did you "
            "mean 'onnxruntime'?\n",
        ),
        ((DIGITS, "--backend", "events"), ""),
    ],
)
def test_what_is_wrong_with_an_encoder_is_told(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    encoder, *options = arguments
    done = call(run_command, encoder, example("7"), *options)
    assert (done.code, done.err.endswith(message)) == (2 if message else 0, True)


def test_one_bad_recording_among_many_stops_nothing(call: Call, tmp_path: Path) -> None:
    (tmp_path / "bad.bin").write_bytes(b"123")
    good = [example("7"), example("1")]
    done = call(run_command, DIGITS, good[0], tmp_path / "bad.bin", tmp_path / "absent.bin", good[1])
    assert done.code == 3
    assert [line.split()[1] for line in done.out.splitlines()] == list(map(str, good))
    skipped = [line for line in done.err.splitlines() if line.startswith("skipped: ")]
    assert [Path(line.split(": ")[1]).name for line in skipped] == ["bad.bin", "absent.bin"]


def test_where_no_recording_is_good_there_is_nothing_to_print(call: Call, tmp_path: Path) -> None:
    (tmp_path / "bad.bin").write_bytes(b"123")
    done = call(run_command, DIGITS, tmp_path / "bad.bin", tmp_path / "absent.bin")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {tmp_path}/bad.bin: ")


@pytest.mark.parametrize(("name", "kind"), [("digits.onnx", "an ONNX model"), ("digits.pt", "a checkpoint")])
def test_a_file_of_another_kind_is_named(call: Call, tmp_path: Path, name: str, kind: str) -> None:
    np.savez(tmp_path / "input.npz", spikes=np.zeros((1, 2, 3), np.float32))
    done = call(run_command, CHECKPOINTS / name, "--input", tmp_path / "input.npz")
    assert done.code == 2
    assert f"{name}: this is {kind}, a NIR graph is needed: export.to_nir writes one" in done.err


def test_a_mistyped_platform_is_guessed(call: Call) -> None:
    done = call(place_command, "encoder.nir", "--profile", "lohi1")
    assert done.code == 2
    assert done.err.endswith("; did you mean 'loihi1'?\n")


def test_a_search_names_what_it_passes_over_and_takes_a_sensor(call: Call, tmp_path: Path) -> None:
    for digit in "17":
        shutil.copytree(RECORDINGS / digit, tmp_path / "data" / digit)
    for name in ("notes.md", "1/a.pdf", "7/b.pdf"):
        (tmp_path / "data" / name).write_text("no events")
    index = tmp_path / "index"
    done = call(search_command, "build", tmp_path / "data", "--encoder", DIGITS, "--index", index, "--workers", 1)
    assert done.code == 0
    assert done.err == f"{tmp_path}/data: 3 files are no recordings, and passed over: .md (1), .pdf (2)\n"
    np.save(tmp_path / "query.npy", spikinghash.read_events(example("7")).events)
    asked = ("query", tmp_path / "query.npy", "--index", index, "-k", 1)
    refused = call(search_command, *asked)
    assert refused.code == 2
    assert "give it: --sensor WIDTHxHEIGHT" in refused.err
    found = call(search_command, *asked, "--sensor", "34x34")
    assert found.code == 0
    assert found.out.splitlines()[-1].split()[:4] == ["0", "0", "4", "7"]
    assert " at distance 0" in found.out
