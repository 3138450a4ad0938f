"""Elements of HTML and SVG, in which text is text: whatever it holds, it is never markup."""

from collections.abc import Iterable
from html import escape

from llmcost_plugins.wording import printable

_VOID = frozenset({"link", "meta"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child = Markup | str | None


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """Return an element; a child of `None` is left out, and so is such an attribute.

    Underscores in the names of attributes stand for dashes, the last one for nothing: ``class_``,
    ``aria_label``.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{said}>")
    return Markup(f"<{name}{said}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Markup:
    """Return children one after the other."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else _escaped(child)
            for child in children
            if child is not None
        )
    )


def label(text: str, most: int = 60) -> Markup:
    """Return a label of a call, which may be empty, very long, or written from right to left."""
    if not text:
        return tag("i", "(none)")
    return tag("bdi", short(text, most), title=text if len(text) > most else None)


def short(text: str, most: int) -> str:
    """Return a text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def head(names: Iterable[str]) -> Markup:
    """Return the head of a table."""
    return tag("thead", tag("tr", *(tag("th", name, scope="col") for name in names)))


def _text(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return _escaped(str(value))


def _escaped(text: str) -> str:
    # A line may end in what is said on hover.
    return escape("\n".join(printable(line) for line in text.split("\n")))
