"""What the documentation shows of files outside of docs/: the examples and the changelog.

Hooks of mkdocs. Pages link to those files where they lie (``../examples/reporter.py``), which works
wherever the repository is shown; in the built pages the links lead to pages made of them.
"""

import ast
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).parent.parent
_CHANGELOG: Final = "changelog.md"
_INDEX: Final = "examples/index.md"
_INDEX_HEAD: Final = """# Examples

Each runs as it stands, without a key or a network: the provider is simulated. `make demo` shows
most of it in one go.

| file | what it shows |
|---|---|
"""
_LANGUAGES: Final = {".py": "python", ".toml": "toml"}
# A file of examples/ keeps its whole name: two of them may differ in their suffix only.
_LINK: Final = re.compile(r"\]\(\.\./(examples/[\w.]+|CHANGELOG\.md)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each example, one that lists them, and one for the changelog."""
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8").replace("](docs/", "](")
    pages = {_CHANGELOG: changelog, _INDEX: _INDEX_HEAD}
    for path in sorted((ROOT / "examples").iterdir()):
        if path.suffix in _LANGUAGES:
            text = path.read_text("utf-8").rstrip()
            page = f"{path.name}.md"
            pages[_INDEX] += f"| [{path.name}]({page}) | {_summary(path.suffix, text)} |\n"
            pages[f"examples/{page}"] = (
                f"# {path.name}\n\n```{_LANGUAGES[path.suffix]}\n{text}\n```\n"
            )
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def _summary(suffix: str, text: str) -> str:
    """Return what an example says of itself in its first line."""
    if suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return text.partition("\n")[0].removeprefix("# ")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links to examples and the changelog to their pages."""
    return _LINK.sub(lambda found: f"]({_target(found[1])}", markdown)


def _target(path: str) -> str:
    return _CHANGELOG if path == "CHANGELOG.md" else f"{path}.md"
