"""Texts that are too long: their middle is left out, between sentences, and a marker says so."""

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from llmcost_plugins.optimize.segments import Kind, segments

_SENTENCE: Final = re.compile(r"(?<=[.!?…])(?=\s)|(?<=[。！？])|(?<=\n)")  # noqa: RUF001 - Chinese
_WORD: Final = re.compile(r"\S+\s*|\s+")
SHORTEST_LIMIT: Final = 32
"""A limit below this many tokens would leave little but the marker."""

Count = Callable[[str], int]


class _Unit(NamedTuple):
    """What is kept or left out as a whole."""

    text: str
    tokens: int
    may_be_cut: bool


def marker(tokens: int) -> str:
    """Return what stands in place of so many tokens."""
    return f"[... about {tokens} tokens left out ...]"


def truncated(text: str, limit: int, count: Count) -> str:
    """Return a text of at most *limit* tokens: its beginning, a marker, and its end.

    Blocks of code are kept or left out as a whole, and so is each line of a table or of JSON. Two
    thirds of the room go to the beginning. A sentence is cut only if it alone is longer than the
    room. A text that cannot be made shorter is returned as it is.

    Args:
        text: the text.
        limit: the tokens, at least `SHORTEST_LIMIT`.
        count: text to tokens.
    """
    total = count(text)
    if total <= limit:
        return text
    units = [
        _Unit(part, count(part), segment.kind is not Kind.KEPT)
        for segment in segments(text)
        for part in _parts(segment.kind, segment.text)
    ]
    room = limit - count(f"\n{marker(total)}\n")
    while room >= 0:
        shorter = _shortened(units, room, total, count)
        over = count(shorter) - limit
        if over <= 0:
            return shorter if len(shorter) < len(text) else text
        room -= over  # the tokens of a whole are not always the sum of its parts
    return text


def _parts(kind: Kind, text: str) -> Sequence[str]:
    return [part for part in _SENTENCE.split(text) if part] if kind is Kind.PROSE else (text,)


def _shortened(units: Sequence[_Unit], room: int, total: int, count: Count) -> str:
    head, used = _taken(units, room * 2 // 3, count)
    rest = units[len(head) :]
    tail, used_after = _taken(rest[::-1], room - used, count, backwards=True)
    before, after = _visible(head), _visible(tail)[::-1]
    mark = marker(max(total - used - used_after, 1))
    start, end = ("".join(unit.text for unit in part) for part in (before, after))
    start = start.rstrip(" \t\r\n") if before and before[-1].may_be_cut else start
    end = end.lstrip(" \t\r\n") if after and after[0].may_be_cut else end
    return "\n".join(part for part in (start.removesuffix("\n"), mark, end) if part)


def _visible(units: Sequence[_Unit]) -> Sequence[_Unit]:
    """Return the units without those at the end that are blank."""
    end = len(units)
    while end and not units[end - 1].text.strip():
        end -= 1
    return units[:end]


def _taken(
    units: Sequence[_Unit], room: int, count: Count, *, backwards: bool = False
) -> tuple[list[_Unit], int]:
    """Take units while there is room; a part of the first one if it is too long by itself."""
    taken: list[_Unit] = []
    used = 0
    for unit in units:
        if used + unit.tokens > room:
            break
        taken.append(unit)
        used += unit.tokens
    visible = any(unit.text.strip() for unit in taken)
    if not visible and not backwards and len(taken) < len(units):
        cut = _cut(units[len(taken)], room - used, count)
        if cut.text:
            taken.append(cut)
            used += cut.tokens
    return taken, used


def _cut(unit: _Unit, room: int, count: Count) -> _Unit:
    """Return the words of a unit for which there is room, or the letters of its first one."""
    if not unit.may_be_cut:
        return _Unit("", 0, may_be_cut=True)
    words: list[str] = []
    used = 0
    for match in _WORD.finditer(unit.text):
        tokens = count(match[0])
        if used + tokens > room:
            if not words:
                # A token has at least one byte.
                whole = match[0].encode("utf-8", "surrogatepass")[: max(room, 0)]
                words.append(whole.decode("utf-8", "ignore"))
                used = count(words[0])
            break
        words.append(match[0])
        used += tokens
    return _Unit("".join(words), used, may_be_cut=True)
