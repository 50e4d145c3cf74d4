"""The figures as a page of docs."""

from typing import Any

from benchmarks.microcontroller.board import BOARDS, TEMPLATES

_NAMES = {
    "encoder": "Spikinghash",
    "int8_twin": "int8 twin, one frame",
    "int8_twin_maps": "int8 twin, its linear maps alone",
}


def _stack(row: dict[str, Any]) -> str:
    """In kB; of twins that were counted before the stack was."""
    return f"{row['stack_bytes'] / 1e3:.1f}" if "stack_bytes" in row else ""


def page(rows: list[dict[str, Any]]) -> str:
    """Markdown of what was measured."""
    lines = [
        f"| {row['dataset']} | {BOARDS[row['profile']].name} | {_NAMES[row['kind']]} | {row['instructions'] / 1e6:.2f} "
        f"| {row['least'] / 1e6:.2f} to {row['most'] / 1e6:.2f} | {row['flash_bytes'] / 1e3:.0f} "
        f"| {row['ram_bytes'] / 1e3:.0f} | {_stack(row)} |"
        for row in rows
        if row["kind"] in _NAMES
    ]
    return TEMPLATES.get_template("page.md.j2").render(lines="\n".join(lines))
