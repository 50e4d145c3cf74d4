"""The runtime alone: what works where only the base dependencies are installed."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from spikinghash.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("spikinghash", "hardware_profiles", "deploy", "export/nir", "export/onnx", "export/synaptic", "training/data")
NEED_AN_EXTRA = {
    "deploy.backends.to_nir", "deploy.backends.to_sanafe", "deploy.backends.torch_backend", "deploy.backends.verify",
    "deploy.energy.networks.baselines", "deploy.energy.networks.module", "deploy.report.hosts.twins",
    "export.nir.describe", "export.nir.dialects.dialect", "export.nir.dialects.native", "export.nir.dialects.portable",
    "export.nir.picture", "export.nir.to_nir",
    "export.onnx.counting", "export.onnx.int8", "export.onnx.ncnn", "export.onnx.to_onnx", "export.onnx.twin",
    "export.onnx.writer",
    "training.data.tonic_sets",
}  # fmt: skip
"""Modules that train, export, or run what was not exported."""
ELSEWHERE = (
    "deploy.backends.lava.", "deploy.backends.simulators.", "deploy.backends.runtimes.",
    "deploy.backends.sanafe.chip", "deploy.backends.sanafe.replay", "training.data.formats.matlab_process",
)  # fmt: skip
"""Run in processes or environments of their own."""
BLOCK = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in {packages}:
            raise ModuleNotFoundError(name=name)

sys.meta_path.insert(0, Missing())
"""  # None in sys.modules would be simpler, but SciPy takes it for torch
IMPORT_ALL = """
import importlib, json
modules = json.loads(sys.argv[1])
failed = []
for module in modules:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError:
        failed.append(module)
print(json.dumps(failed))
"""


def without_extras(script: str, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run ``script`` where no package of an extra can be imported."""
    command = [sys.executable, "-c", BLOCK.format(packages=list(EXTRAS)) + script, *arguments]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=variables, timeout=240)


def test_what_runs_an_encoder_is_imported_without_extras() -> None:
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    in_this_python = [name for name in names if not name.startswith(ELSEWHERE) and "__main__" not in name]
    done = without_extras(IMPORT_ALL, json.dumps(in_this_python))
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == NEED_AN_EXTRA


def test_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = {name: " ".join(parts).replace("-", "_") for name, parts in project["optional-dependencies"].items()}
    brought["train"] += brought["export"]
    assert [package for package, extra in EXTRAS.items() if package not in brought[extra]] == []
    assert not EXTRAS.keys() & {re.split(r"[^\w-]", each)[0] for each in project["dependencies"]}


RUN_ALL = """
import contextlib, io, json, runpy
results = {}
for module in json.loads(sys.argv[1]):
    sys.argv, printed = [module, "--help"], io.StringIO()
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = end.code
    results[module] = code, printed.getvalue()
print(json.dumps(results))
"""


def test_every_command_runs_or_names_its_extra_in_one_line() -> None:
    """As ``spikinghash COMMAND`` and as ``python -m MODULE``, also what docs/commands.md does not list."""
    rooms = [ROOT / room for room in ("spikinghash", "training", "export", "deploy", "hardware_profiles")]
    paths = [path for room in rooms for path in sorted(room.rglob("*.py")) if "resources" not in path.parts]
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in paths
        if 'if __name__ == "__main__"' in path.read_text()
    ]
    modules = [name for name in modules if not name.startswith(ELSEWHERE)]
    done = without_extras(RUN_ALL, json.dumps(modules))
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    asking = {module for module, (code, _) in results.items() if code}
    assert asking >= {"training.train", "training.figures", "training.publish", "export.evaluate", "export.to_nir"}
    assert "deploy.run" not in asking
    for module in asking:
        code, told = results[module]
        assert code == 2, module
        assert re.fullmatch(r"error: \w+ is not installed, which this needs: pip install 'spikinghash\[\w+\]'\n", told)


def test_a_missing_extra_is_named_in_one_line() -> None:
    done = without_extras("sys.argv[1:] = ['train', '--help']\nfrom spikinghash.__main__ import main\nmain()")
    wanted = "error: torch is not installed, which this needs: pip install 'spikinghash[train]'\n"
    assert (done.returncode, done.stderr) == (2, wanted)


def test_a_machine_is_measured_without_extras(tmp_path: Path) -> None:
    """An edge device installs the runtime alone."""
    words = ["hosts", "digits", "--rounds", "1", "--seconds", "0.01", "--idle", "0.01"]
    script = f"sys.argv[1:] = {words}\nfrom spikinghash.__main__ import main\nmain()"
    done = without_extras(script, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    hosts = json.loads((tmp_path / "hosts.json").read_text())
    runs = [(run["kind"], run["runtime"], run["batch"]) for run in hosts["runs"]]
    assert runs == [("snn", runtime, batch) for runtime in ("events", "onnxruntime") for batch in (1, 64)]
    (note,) = hosts["notes"]
    assert note.startswith("digits.onnx: no twins, which are built in torch: ")
    assert note.endswith("pip install 'spikinghash[train]'")
