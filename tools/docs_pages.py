"""What the documentation shows of files outside of docs/: the examples and the changelog.

Hooks of mkdocs. Pages link to those files where they lie (``../examples/reporter.py``), which works
wherever the repository is shown; in the built pages the links lead to pages made of them.
"""

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parent.parent
_CHANGELOG: Final = "changelog.md"
_LANGUAGES: Final = {".py": "python", ".toml": "toml"}
# A file of examples/ keeps its whole name: two of them may differ in their suffix only.
_LINK: Final = re.compile(r"\]\(\.\./(examples/[\w.]+|CHANGELOG\.md)(?=[)#])")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give the examples and the changelog a place in the navigation."""
    nav: list[Any] = config.nav or []
    nav += [{"Examples": [_page_of(path.name) for path in _examples()]}, {"Changelog": _CHANGELOG}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each example, and one for the changelog."""
    for path in _examples():
        text = path.read_text("utf-8")
        content = f"# {path.name}\n\n```{_LANGUAGES[path.suffix]}\n{text.rstrip()}\n```\n"
        files.append(File.generated(config, _page_of(path.name), content=content))
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    inside = changelog.replace("](docs/", "](")
    files.append(File.generated(config, _CHANGELOG, content=inside))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links to examples and the changelog to their pages."""
    del page
    return _LINK.sub(lambda found: f"]({_target(found[1])}", markdown)


def _target(path: str) -> str:
    return _CHANGELOG if path == "CHANGELOG.md" else f"{path}.md"


def _page_of(name: str) -> str:
    return f"examples/{name}.md"


def _examples() -> list[Path]:
    return sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in _LANGUAGES)
