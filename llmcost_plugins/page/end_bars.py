"""A bar of how a span will end. Pure: numbers in, markup out; see `charts`."""

from llmcost_plugins.page.charts import percent_of
from llmcost_plugins.page.markup import Markup, tag


def end_bar(spent: int, low: int, expected: int, high: int) -> Markup:
    """Return a bar of what is spent and what is expected beyond that, before the band of its end.

    Nothing to read: the numbers stand beside it.
    """
    top = max(high, expected, spent, 1)

    def piece(class_: str, start: int, end: int, y: int, height: int) -> Markup | None:
        start, end = max(start, 0), max(end, 0)
        if end <= start:
            return None
        return tag(
            "rect", class_=class_, x=percent_of(start / top),
            width=percent_of((end - start) / top), y=y, height=height, rx=2,
        )  # fmt: skip

    def mark(at: int) -> Markup:
        x = percent_of(max(at, 0) / top)
        return tag("line", class_="range", x1=x, x2=x, y1=0, y2=24)

    return tag(
        "svg",
        piece("range", low, high, 0, 24),
        mark(low),
        mark(high),
        piece("expected", spent, expected, 6, 12),
        piece("sofar", 0, spent, 6, 12),
        class_="budget", width="100%", height=24, aria_hidden="true",
    )  # fmt: skip
