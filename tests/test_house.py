"""How the code is built: short functions, no import cycle, and arrows that point one way."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("spikinghash", "hardware_profiles", "training", "export", "deploy", "benchmarks")
LONGEST_FUNCTION = 46
MAY_IMPORT = {
    "spikinghash": {"spikinghash"},
    "hardware_profiles": {"hardware_profiles", "spikinghash"},
    "training": {"training", "spikinghash"},
    "export": {"export", "training", "spikinghash"},
    "deploy": {"deploy", "export", "training", "hardware_profiles", "spikinghash"},
}
FACADE = "spikinghash.api"
"""What ``import spikinghash`` offers of all rooms; nothing of the project imports it."""
COMMANDS_OF_DEPLOY = {"export.to_nir", "export.to_sanafe", "export.verify", "hardware_profiles.__main__"}
"""Commands that are given a name in another room, and compare or bill with what only `deploy` has."""


def modules() -> dict[str, ast.Module]:
    """All modules by dotted name."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths}
    return {name: ast.parse(path.read_text(encoding="utf-8")) for path, name in names.items()}


MODULES = modules()


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All that runs: what stands under ``if TYPE_CHECKING`` names types and imports nothing."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from statements(node)


def imported(name: str) -> Iterator[str]:
    """Modules of the project that module ``name`` imports, wherever in it."""
    for node in statements(MODULES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (part if part in MODULES else node.module for part in parts if node.module in MODULES)


def test_no_function_needs_scrolling() -> None:
    long = [
        f"{name}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and node.end_lineno
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert not long


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {name: {other for other in imported(name) if other != name} for name in MODULES}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_data_flows_one_way(package: str) -> None:
    inside = [name for name in MODULES if name.split(".")[0] == package and name not in COMMANDS_OF_DEPLOY]
    inside = [name for name in inside if not name.startswith(FACADE)]
    upward = [
        f"{name} imports {other}"
        for name in inside
        for other in imported(name)
        if other.split(".")[0] not in MAY_IMPORT[package] or other.startswith(FACADE)
    ]
    assert inside
    assert not upward


def test_every_room_says_what_lives_there() -> None:
    rooms = [name for name in MODULES if _is_room(name)]
    assert rooms
    assert [name for name in rooms if not (ast.get_docstring(MODULES[name]) or "").strip()] == []


def _is_room(name: str) -> bool:
    return (ROOT / name.replace(".", "/") / "__init__.py").is_file()
