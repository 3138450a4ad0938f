"""Whitespace that costs tokens and says nothing."""

import re
from typing import Final

from llmcost_plugins.optimize.segments import Kind, Segment, segments

_RUN: Final = re.compile(r"[ \t]{2,}")
_INDENT: Final = re.compile(r"[ \t]*")


def normalised(text: str) -> str:
    """Return a text with runs of spaces in prose, and of blank lines, made one.

    Indentation stays, and so do all parts that `segments` keeps. A text of nothing but whitespace
    is returned as it is: providers refuse an empty one.
    """
    parts = segments(text)
    if all(part.kind is Kind.BLANK for part in parts):
        return text
    return "".join(_normalised(part) for part in parts)


def _normalised(part: Segment) -> str:
    if part.kind is Kind.KEPT:
        return part.text
    if part.kind is Kind.BLANK:
        return "\n" if "\n" in part.text else ""
    indent = _INDENT.match(part.text)[0]  # type: ignore[index]  # it matches anything
    rest = part.text[len(indent) :]
    if rest.endswith("\n"):
        rest = rest.rstrip(" \t\r\n") + "\n"
    # The end of the last line keeps one space: another part of the message may follow it.
    return indent + _RUN.sub(" ", rest)
