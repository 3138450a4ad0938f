"""The documentation builds without a warning, holds together, and loads nothing from outside."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
WRITTEN = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
LOADED = {"audio": "src", "embed": "src", "iframe": "src", "img": "src", "input": "src"}
LOADED |= {"link": "href", "object": "data", "script": "src", "source": "src", "video": "src"}


class Html(HTMLParser):
    """What a page links to, what it loads, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.anchors |= {said.get("id", ""), said.get("name", "")}
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        # `rel=canonical` and the like only name an address.
        if tag in LOADED and LOADED[tag] in said and said.get("rel") not in {"prev", "next"}:
            self.loaded.append(said[LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="mkdocs-material is in the group `docs`")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "--quiet", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Html]:
    return {path: Html(path) for path in site.rglob("*.html")}


def test_there_is_a_page_for_each_file_and_each_example(site: Path) -> None:
    names = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert names >= {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    assert names >= {f"examples/{path.name}.html" for path in (ROOT / "examples").glob("*.*")}
    assert "changelog.html" in names


def test_no_page_loads_anything_from_outside(pages: dict[Path, Html]) -> None:
    loaded = {address for page in pages.values() for address in page.loaded}
    assert any(address.endswith("extra.css") for address in loaded)
    assert [address for address in loaded if urlsplit(address).netloc] == []


def test_no_style_sheet_loads_anything_from_outside(site: Path) -> None:
    sheets = list(site.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        text = sheet.read_text("utf-8")
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", text) == [], sheet.name


def test_each_link_between_pages_leads_to_something(site: Path, pages: dict[Path, Html]) -> None:
    dead = []
    for path, page in pages.items():
        for link in page.links:
            where = urlsplit(link)
            if where.scheme or where.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(where.path)).resolve() if where.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (
                where.fragment and target in pages and where.fragment not in pages[target].anchors
            ):
                dead.append((path.relative_to(site).as_posix(), link))
    assert dead == []


def links_of(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the file and the anchor of each link of a Markdown file, outside of its code."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        where = urlsplit(link)
        if not where.scheme:
            yield where.path, where.fragment


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of a Markdown file's headings, as forges make them."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_each_link_leads_to_something_where_the_repository_is_shown(path: Path) -> None:
    dead = []
    for name, anchor in links_of(path):
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            dead.append(f"{name}#{anchor}")
    assert dead == []
