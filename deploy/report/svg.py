"""matplotlib figures as inline SVG. Colours are the page's CSS variables, so that one file serves light and dark."""

import html
import io
import re
from collections.abc import Mapping

from matplotlib.figure import Figure


class Palette:
    """Colours that stand for CSS variables while matplotlib draws."""

    def __init__(self, *names: str) -> None:
        self._names = {f"#0000{index:02x}": name for index, name in enumerate(names, start=1)}
        self._colours = {name: colour for colour, name in self._names.items()}

    def __getitem__(self, name: str) -> str:
        """The stand-in of variable ``name``."""
        return self._colours[name]

    def apply(self, text: str) -> str:
        """Put the variables in place of their stand-ins."""
        for colour, name in self._names.items():
            text = text.replace(colour, f"var(--{name})")
        return text


def svg(figure: Figure, label: str, salt: str, palette: Palette, titles: Mapping[str, str]) -> str:
    """The figure as an SVG element that scales with the page, without dates, metadata or fixed fonts.

    Args:
        figure: drawn with ``svg.fonttype = none`` and ``svg.hashsalt = salt``.
        label: what the figure shows, for those who do not see it.
        salt: prefix that makes ids unique among the figures of one page.
        palette: colours that were drawn with.
        titles: by gid of an artist, the text shown when the pointer rests on it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'<svg [^>]*viewBox="([^"]+)"[^>]*>',
        lambda m: f'<svg viewBox="{m[1]}" role="img" aria-label="{html.escape(label)}">',
        text,
        count=1,
    )
    text = re.sub(r"font: ([^;\"']*?)([\d.]+)px [^;\"]*", r"font: \1\2px var(--font)", text)
    for gid, title in titles.items():
        text = text.replace(f'<g id="{gid}">', f'<g id="{gid}"><title>{html.escape(title)}</title>', 1)
    text = re.sub(r'\bid="', f'id="{salt}-', text)
    text = text.replace('xlink:href="#', f'href="#{salt}-').replace("url(#", f"url(#{salt}-")
    return "\n".join(line.rstrip() for line in palette.apply(text).splitlines() if line.strip())
