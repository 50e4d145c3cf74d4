"""Jinja templates that lie beside the module which fills them."""

from pathlib import Path

import jinja2


def text_templates(folder: Path) -> jinja2.Environment:
    """Those of plain text in ``folder``: a line of a block alone leaves nothing, and a missing value is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def html_templates(folder: Path) -> jinja2.Environment:
    """Those of pages in ``folder``; what is filled in is escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
