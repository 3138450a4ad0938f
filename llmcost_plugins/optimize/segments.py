"""A text in parts: those that are prose, and those of which every byte counts."""

import re
from collections import deque
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, NamedTuple

_FENCE: Final = re.compile(r"[ \t]*(`{3,}|~{3,})")
_ELEMENT: Final = re.compile(r"<(pre|code|script|style|textarea|svg|math)\b", re.IGNORECASE)
_VERBATIM: Final = re.compile(r"[\"`{}<>|\\$]|'.*'|^[ \t]*\+-")
_GAP: Final = re.compile(r"\S(?: {3,}| *\t[ \t]*)\S")
_LINE: Final = re.compile(r"(?:[ \t\r]*\n)+|[^\n]*\n|[^\n]+")
"""Blank lines in one, or a line."""
_SPACE: Final = " \t\r\n"
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
    return list(_joined(_columns(list(_lines(text)))))


def _lines(text: str) -> Iterator[_Line]:
    ends: re.Pattern[str] | None = None
    block: list[str] = []
    # Not by splitlines: other characters that it splits at do not end a line of code.
    for found in _LINE.finditer(text):
        line = found[0]
        if ends is not None:
            block.append(line)
            if ends.search(line):
                yield _Line(Kind.KEPT, "".join(block))
                ends, block = None, []
            continue
        ends = _end_of_block(line) if "`" in line or "~" in line or "<" in line else None
        if ends is None:
            yield _line(line)
        else:
            block = [line]
    if block:  # nothing closes it: it goes on to the end of the text
        yield _Line(Kind.KEPT, "".join(block))


def _end_of_block(line: str) -> "re.Pattern[str] | None":
    fence = _FENCE.match(line)
    if fence:
        mark = fence[1]
        return re.compile(rf"^[ \t]*{re.escape(mark[0])}{{{len(mark)},}}[ \t\r]*$", re.MULTILINE)
    elements = deque(_ELEMENT.finditer(line), maxlen=1)
    if not elements:
        return None
    opened = elements.pop()
    closing = re.compile(rf"</{opened[1]}\s*>", re.IGNORECASE)
    return None if closing.search(line, opened.end()) else closing


def _line(line: str) -> _Line:
    bare = line.rstrip(_SPACE)
    if not bare:
        return _Line(Kind.BLANK, line)
    if line.startswith(_INDENTED):
        return _Line(Kind.KEPT, line, indented=True)
    return _Line(Kind.KEPT if _VERBATIM.search(bare) else Kind.PROSE, line)


def _columns(lines: list[_Line]) -> list[_Line]:
    """Keep lines that stand in columns, as two neighbours with a wide gap do."""
    before = False
    for at, line in enumerate(lines):
        wide = line.kind is Kind.PROSE and _GAP.search(line.text) is not None
        if wide and before:
            lines[at - 1] = _Line(Kind.KEPT, lines[at - 1].text)
            lines[at] = _Line(Kind.KEPT, line.text)
        before = wide
    return lines


def _joined(lines: list[_Line]) -> Iterator[Segment]:
    """Join blank lines that follow one another, and the lines of one block that is set in."""
    at = 0
    while at < len(lines):
        kind, text, indented = lines[at]
        end = at + 1
        if kind is Kind.BLANK or indented:
            ahead = end
            while ahead < len(lines) and (lines[ahead].kind is Kind.BLANK or lines[ahead].indented):
                if lines[ahead].indented and not indented:
                    break
                ahead += 1
                # Blank lines after the block are no part of it.
                end = ahead if lines[ahead - 1].indented is indented else end
            text = "".join(line.text for line in lines[at:end])
        yield Segment(kind, text)
        at = end
