"""Charts as SVG. Pure: numbers in, markup out.

Across, everything is in percent of the width; up and in letters, in pixels. So one picture fits a
phone and a wide screen, and its letters keep their size, which those in a picture with a `viewBox`
do not. No inline style either, which the page's own policy forbids.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from llmcost_plugins.page.markup import Markup, joined, tag
from llmcost_plugins.page.scales import scale_to
from llmcost_plugins.page.timeline import Step, marked

_HEIGHT: Final = 200
_ABOVE: Final = 10  # room for the upper half of the name of the topmost line
_BELOW: Final = 26
_FEWEST: Final = 8  # a single day is no wall
_FILLED: Final = 0.72
_MARKS: Final = 10
_MARKS_ON_A_PHONE: Final = 4
_LETTERS: Final = 6  # of a line's name, for which there is room on a phone
_GAP: Final = 1.0
_LEAST: Final = 1.0  # pixels: what is little is not nothing


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn in one colour.

    Attributes:
        name: what it is.
        colour: its class in the style sheet.
        sizes: its amount at each step; what is below 0 is not drawn.
    """

    name: str
    colour: str
    sizes: tuple[int, ...]


def columns(
    title: str,
    steps: Sequence[Step],
    series: Sequence[Series],
    tick: Callable[[int, int], str],
    hints: Sequence[str],
) -> Markup:
    """Return stacked columns over time.

    Args:
        title: what is shown.
        steps: the axis.
        series: from the bottom up.
        tick: names a line by its amount and what lies between two.
        hints: what is said of each step on hover.
    """
    stacks = list(zip(*(one.sizes for one in series), strict=True))
    scale = scale_to(max(sum(max(size, 0) for size in stack) for stack in stacks))
    slots = max(len(steps), _FEWEST)
    colours = [one.colour for one in series]
    drawn = [
        _column(stack, colours, place / slots, 1 / slots, scale.top)
        for place, stack in enumerate(stacks)
    ]
    zones = [
        tag(
            "rect", tag("title", hint), class_="hit", x=percent_of(place / slots), y=_ABOVE,
            width=percent_of(1 / slots), height=_HEIGHT,
        )
        for place, hint in enumerate(hints)
    ]  # fmt: skip
    names = {size: tick(size, scale.step) for size in scale.ticks()}
    lines = [_line(size, scale.top, name) for size, name in names.items()]
    picture = tag(
        "svg", *lines, *drawn, *zones, *_marks(steps, slots),
        class_="plot", width="100%", height=_ABOVE + _HEIGHT + _BELOW, role="img", aria_label=title,
    )  # fmt: skip
    long = max(map(len, names.values())) > _LETTERS
    return tag("div", picture, class_="chart deep" if long else "chart")


def share_bar(part: int, whole: int, colour: str) -> Markup:
    """Return a bar that is filled so far; nothing to read, the number stands beside it."""
    filled = max(0.0, min(1.0, part / whole)) if whole > 0 else 0.0
    rect = tag("rect", class_=colour, width=percent_of(filled), height=6, rx=3)
    track = tag("rect", class_="track", width="100%", height=6, rx=3)
    return tag("svg", track, rect, class_="bar", width="100%", height=6, aria_hidden="true")


def budget_bar(limit: int, spent: int, held: int, projected: int, colour: str) -> Markup:
    """Return a bar of what is spent, held and will be spent, with a line at the limit.

    At twice the limit it ends, so that a budget far beyond it can still be read.
    """
    reached = max(spent + held, projected)
    top = max(limit, min(reached, 2 * limit), 1)

    def piece(class_: str, start: int, end: int, inset: float = 0.0) -> Markup | None:
        start, end = min(max(start, 0), top), min(end, top)
        if end <= start:
            return None
        return tag(
            "rect", class_=class_, x=percent_of(start / top), width=percent_of((end - start) / top),
            y=4 + inset, height=16 - 2 * inset, rx=2,
        )  # fmt: skip

    mark = percent_of(limit / top)
    return tag(
        "svg",
        piece("track", 0, limit),
        piece("projected", spent + held, projected, inset=4.0),
        piece(f"spent {colour}", 0, spent),
        piece("held", spent, spent + held),
        tag("line", class_="limit", x1=mark, x2=mark, y1=0, y2=24),
        class_="budget", width="100%", height=24, aria_hidden="true",
    )  # fmt: skip


def hatching() -> Markup:
    """Return the pattern of what is held; once on a page."""
    stripes = tag("path", d="M-1,1 l2,-2 M0,6 l6,-6 M5,7 l2,-2")
    pattern = tag("pattern", stripes, id="hatch", width=6, height=6, patternUnits="userSpaceOnUse")
    return tag("svg", tag("defs", pattern), class_="defs", width=0, height=0, aria_hidden="true")


def swatch(colour: str) -> Markup:
    """Return a sample of a colour, for legends."""
    rect = tag("rect", class_=colour, width=10, height=10, rx=2)
    return tag("svg", rect, class_="swatch", width=10, height=10, aria_hidden="true")


def limit_swatch() -> Markup:
    """Return a sample of the line at a budget's limit."""
    line = tag("line", class_="limit", x1=2, x2=2, y1=0, y2=12)
    return tag("svg", line, class_="swatch", width=4, height=12, aria_hidden="true")


def _column(
    stack: Sequence[int], colours: Sequence[str], left: float, width: float, top: int
) -> Markup:
    x, wide = percent_of(left + width * (1 - _FILLED) / 2), percent_of(width * _FILLED)
    foot = float(_ABOVE + _HEIGHT)
    pieces: list[Markup] = []
    for size, colour in zip(stack, colours, strict=True):
        if size <= 0:
            continue
        tall = max(size / top * _HEIGHT, _LEAST)
        gap = _GAP if pieces and tall > 2 * _GAP else 0.0
        pieces.append(tag("rect", class_=colour, x=x, width=wide, y=foot - tall, height=tall - gap))
        foot -= tall
    return joined(*pieces)


def _line(size: int, top: int, name: str) -> Markup:
    y = _ABOVE + _HEIGHT * (1 - size / top)
    line = tag("line", class_="grid" if size else "zero", x1=0, x2="100%", y1=y, y2=y)
    return joined(line, tag("text", name, class_="tick", x=-8, y=y + 4, text_anchor="end"))


def _marks(steps: Sequence[Step], slots: int) -> list[Markup]:
    often = marked(slots, _MARKS)
    seldom = often * marked(marked(slots, _MARKS_ON_A_PHONE), often)
    return [
        tag(
            "text", step.mark, class_="tick" if place % seldom == 0 else "tick wide",
            x=percent_of((place + 0.5) / slots), y=_ABOVE + _HEIGHT + 18, text_anchor="middle",
        )
        for place, step in enumerate(steps)
        if place % often == 0
    ]  # fmt: skip


def percent_of(part: float) -> str:
    """Return a part of the width."""
    return f"{100 * part:.3f}".rstrip("0").rstrip(".") + "%"
