"""The figures as tables of docs/speed.md, between comments that name their part."""

from pathlib import Path
from typing import Any

from spikinghash.errors import ConfigError
from spikinghash.templates import text_templates

PARTS = ("measured", "goals")
LABELS = {
    "events": "**`events`**",
    "numpy": "`numpy`",
    "onnx": "ONNX Runtime",
    "onnx-int8": "ONNX Runtime, `--int8` file",
    "norse": "Norse and ptwt, float model",
    "twin": "ANN twin of one frame, float32, ONNX Runtime",
    "twin-int8": "the same, int8",
    "resnet18": "ResNet-18, float32, ONNX Runtime",
    "resnet18-int8": "the same, int8",
}
TITLES = {
    "nmnist": "N-MNIST, sparse",
    "digits": "digits, sparse",
    "dense/nmnist": "N-MNIST, dense",
    "dense/digits": "digits, dense",
}
PORTABLE = {"norse": "Norse", "snntorch": "snnTorch", "spikingjelly": "SpikingJelly"}
Figures = dict[str, Any]


def written(page: str, measured: Figures) -> str:
    """``page`` with its parts made anew from what was measured.

    Raises:
        ConfigError: it lacks a part.
    """
    for part in PARTS:
        begin, end = f"<!-- {part}: python -m benchmarks.side_by_side -->\n", f"<!-- end of {part} -->\n"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ConfigError(f"the page lacks the comments around {part}: {begin.strip()} and {end.strip()}")
        before, _, rest = page.partition(begin)
        after = rest.partition(end)[2]
        text = _TEMPLATES.get_template(f"{part}.md.j2").render(_values(measured))
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def _values(measured: Figures) -> Figures:
    encoders = {each["name"]: {row["key"]: row for row in each["rows"]} for each in measured["encoders"]}
    whole = {each["name"]: each for each in measured["encoders"]}
    loads = [each["load"] for each in measured["encoders"]]
    return measured | {
        "rows": encoders,
        "whole": whole,
        "labels": LABELS,
        "titles": TITLES,
        "portable": PORTABLE,
        "loads": f"{min(loads):g}" if min(loads) == max(loads) else f"{min(loads):g} to {max(loads):g}",
        "times": _times,
    }


def _times(more: float, less: float) -> str:
    """A ratio with two figures: 8.0, 14."""
    ratio = more / less
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"


def _ms(value: float | None) -> str:
    """Milliseconds with two decimals, from ten with one; nothing where nothing was measured."""
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


_TEMPLATES = text_templates(Path(__file__).parent / "templates")
_TEMPLATES.filters["ms"] = _ms
