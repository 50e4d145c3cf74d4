"""The frame of every command: exit codes, one line of error, and nothing half-written under a final name."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spikinghash import errors
from spikinghash.__main__ import COMMANDS
from spikinghash.files import atomic_path, private_folder

FRAME = """
from spikinghash.cli import run
from spikinghash.errors import *
def main() -> None:
    {body}
run(main)
"""


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=os.environ | variables)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("pass", 0, ""),
        ("raise GraphError('node x: bad')", 2, "error: node x: bad\n"),
        ("raise ComparisonError('codes differ')", 1, "error: codes differ\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
        ("open('/nowhere/x', 'w')", 2, "error: /nowhere/x: No such file or directory\n"),
        ("raise OSError(28, 'No space left on device')", 2, "error: No space left on device\n"),
        ("[0] * 10**17", 2, "error: not enough memory: use fewer or smaller inputs, or a larger machine\n"),
    ],
)
def test_exit_codes(body: str, code: int, message: str) -> None:
    done = python("-c", FRAME.format(body=body))
    assert (done.returncode, done.stderr) == (code, message)


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    classes = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, Exception)]
    assert all(error.__base__ in (Exception, errors.SpikinghashError) for error in classes)
    assert errors.__doc__ is not None
    drawn = re.findall(r"^[ ├└─]*(\w+Error)  .*?(1?)$", errors.__doc__, re.MULTILINE)
    assert [name for name, _ in drawn] == [error.__name__ for error in classes]
    assert [1 if code else 2 for _, code in drawn] == [error.exit_code for error in classes]


WAITS = FRAME.format(
    body="""
    import time
    from spikinghash.files import private_folder
    with private_folder() as folder:
        print(folder, flush=True)
        time.sleep(60)
"""
)


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 130, b"interrupted\n"),
        (signal.SIGTERM, 143, b"terminated\n"),
        (signal.SIGHUP, 143, b"terminated\n"),
        (signal.SIGKILL, -9, b""),
    ],
)
def test_a_signal_ends_a_command_cleanly(number: signal.Signals, code: int, message: bytes, tmp_path: Path) -> None:
    """Its temporary folder goes with it, or, where nothing can be done, when the next command makes its own."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", WAITS]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().decode().strip())
        assert folder.parent == tmp_path
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (code, message)
    assert folder.exists() == (number == signal.SIGKILL)
    assert python("-c", "from spikinghash.files import private_folder as p; p().__enter__()", TMPDIR=str(tmp_path))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [("SIGTERM", 143, "terminated\n"), ("SIGHUP", 143, "terminated\n"), ("SIGINT", 130, "")],
)
def test_a_signal_while_arguments_are_read_ends_a_command_alike(number: str, code: int, message: str) -> None:
    script = f"""
import os, signal
from typing import Annotated
import typer
from spikinghash.cli import run
def parse(text: str) -> str:
    signal.raise_signal(signal.{number})
    return text
def main(given: Annotated[str, typer.Argument(parser=parse)]) -> None:
    print(given)
run(main)
"""
    done = python("-c", script, "x")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", message)


def test_a_folder_goes_whenever_its_process_was_killed(tmp_path: Path) -> None:
    """Killed when the folder is made, but not locked yet."""
    makes = "from spikinghash.files import private_folder as p; p().__enter__()"
    killed = f"import fcntl, os; fcntl.flock = lambda *_: os.kill(os.getpid(), 9); {makes}"
    assert python("-c", killed, TMPDIR=str(tmp_path)).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    assert python("-c", makes, TMPDIR=str(tmp_path)).returncode == 0
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def swept_first(handle: int, how: int) -> None:
        monkeypatch.undo()
        (folder,) = tmp_path.iterdir()
        folder.rmdir()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", swept_first)
    with private_folder(parent=tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert not list(tmp_path.iterdir())


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    script = FRAME.format(body="print('x' * 10**6)")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_full_disk_behind_the_output_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        script = FRAME.format(body="print('x')")
        done = subprocess.run([sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


def test_the_console_script_knows_its_commands() -> None:
    done = python("-m", "spikinghash", "--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    assert python("-m", "spikinghash", "fly").returncode == 2


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    done = python("-m", "spikinghash", name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:3] == ["Usage:", "spikinghash", name]


def write_half(target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError


def test_files_are_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    with pytest.raises(ZeroDivisionError):
        write_half(target)
    assert target.read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]
