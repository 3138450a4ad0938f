"""A text in parts: those that are prose, and those of which every byte counts."""

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, NamedTuple

_FENCE: Final = re.compile(r"[ \t]*(`{3,}|~{3,})")
_ELEMENT: Final = re.compile(r"<(pre|code|script|style|textarea|svg|math)\b", re.IGNORECASE)
_VERBATIM: Final = re.compile(r"[\"`{}<>|\\$]|'.*'|^[ \t]*\+-")
_GAP: Final = re.compile(r"\S(?: {3,}| *\t[ \t]*)\S")
_SPACE: Final = " \t\r"
_INDENTED: Final = ("    ", "\t", " \t", "  \t", "   \t")


class Kind(Enum):
    """What a part of a text is."""

    PROSE = auto()
    """A line in which a run of spaces means no more than one."""
    BLANK = auto()
    """Lines without anything visible."""
    KEPT = auto()
    """Code, a table, or a line with what may be a string of JSON: no byte of it is changed."""


class Segment(NamedTuple):
    """A part of a text: whole lines, their ends included.

    Attributes:
        kind: what it is.
        text: the lines.
    """

    kind: Kind
    text: str


class _Line(NamedTuple):
    """A line that is in no block, and whether it is one of code that is set in."""

    kind: Kind
    text: str
    indented: bool = False


def segments(text: str) -> list[Segment]:
    """Split a text, in linear time. Joined, the parts are the text.

    Kept are fenced and indented blocks of code, the contents of elements such as ``<pre>``, tables
    (with bars, or two lines and more in columns), and each line with a double quote, a pair of
    single ones, a brace, a backtick or another sign of markup: JSON, code, mathematics.
    """
    found: list[Segment] = []
    for kind, part in _joined(_columns(list(_lines(text)))):
        found.append(Segment(kind, part))
    return found


def _lines(text: str) -> Iterator[_Line]:
    lines = _split(text)
    at = 0
    while at < len(lines):
        line = lines[at]
        ends = _end_of_block(line)
        if ends is None:
            yield _line(line)
            at += 1
            continue
        start = at
        at += 1
        while at < len(lines) and not ends.search(lines[at]):
            at += 1
        at += 1  # the line that closes it; without one it goes on to the end of the text
        yield _Line(Kind.KEPT, "".join(lines[start:at]))


def _split(text: str) -> list[str]:
    # Not by splitlines: other characters that it splits at do not end a line of code.
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _end_of_block(line: str) -> "re.Pattern[str] | None":
    fence = _FENCE.match(line)
    if fence:
        mark = fence[1]
        return re.compile(rf"^[ \t]*{re.escape(mark[0])}{{{len(mark)},}}[ \t\r]*$", re.MULTILINE)
    elements = list(_ELEMENT.finditer(line))
    if not elements:
        return None
    opened = elements[-1]
    closing = re.compile(rf"</{opened[1]}\s*>", re.IGNORECASE)
    return None if closing.search(line, opened.end()) else closing


def _line(line: str) -> _Line:
    bare = line.rstrip("\n").rstrip(_SPACE)
    if not bare:
        return _Line(Kind.BLANK, line)
    if line.startswith(_INDENTED):
        return _Line(Kind.KEPT, line, indented=True)
    return _Line(Kind.KEPT if _VERBATIM.search(bare) else Kind.PROSE, line)


def _columns(lines: list[_Line]) -> list[_Line]:
    """Keep lines that stand in columns, as two neighbours with a wide gap do."""
    wide = [line.kind is Kind.PROSE and _GAP.search(line.text) is not None for line in lines]
    return [
        line._replace(kind=Kind.KEPT)
        if is_wide and (wide[at - 1 : at] == [True] or wide[at + 1 : at + 2] == [True])
        else line
        for at, (line, is_wide) in enumerate(zip(lines, wide, strict=True))
    ]


def _joined(lines: list[_Line]) -> Iterator[tuple[Kind, str]]:
    """Join blank lines that follow one another, and the lines of one block that is set in."""
    at = 0
    while at < len(lines):
        kind, indented = lines[at].kind, lines[at].indented
        end = at + 1
        if kind is Kind.BLANK:
            while end < len(lines) and lines[end].kind is Kind.BLANK:
                end += 1
        elif indented:
            ahead = end
            while ahead < len(lines) and (lines[ahead].indented or lines[ahead].kind is Kind.BLANK):
                ahead += 1
                end = ahead if lines[ahead - 1].indented else end
            # Blank lines after the block are looked at once more, and are no part of it.
        yield kind, "".join(line.text for line in lines[at:end])
        at = end
