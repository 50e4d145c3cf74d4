"""The page that encodes in a browser as a part of the site, where ``make web`` has written it; MkDocs calls this."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGE = Path("build/web/spikinghash.html")
ABOUT = "browser.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the page into the site."""
    if PAGE.exists():
        files.append(File.generated(config, PAGE.name, abs_src_path=str(PAGE.resolve())))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead to it from the page about it."""
    if page.file.src_uri != ABOUT or files.get_file_from_path(PAGE.name) is None:
        return markdown
    title, rest = markdown.split("\n", 1)
    return f"{title}\n\n**[Open the page]({PAGE.name})**\n{rest}"
