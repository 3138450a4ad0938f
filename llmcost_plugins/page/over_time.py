"""The charts over time of a page: what was spent by model, and what was saved."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from llmcost_plugins.money import nano_to_usd, usd_to_nano
from llmcost_plugins.overview import Overview
from llmcost_plugins.page.ahead import EXPECTED, end_of_span, expected_along, expected_table
from llmcost_plugins.page.amounts import Amounts
from llmcost_plugins.page.charts import Series, columns, swatch
from llmcost_plugins.page.markup import Markup, head, joined, label, short, tag
from llmcost_plugins.page.timeline import Timeline

_COLOURS: Final = 6
_SHOWN: Final = 40  # letters of a name in a legend or a hint


@dataclass(frozen=True, slots=True)
class _Line:
    """One colour of a chart: a name, and the nano-dollars at each step."""

    name: Markup
    plain: str
    colour: str
    nano: tuple[int, ...]


def over_time(found: Overview, axis: Timeline, amounts: Amounts) -> Markup:
    """Return the spending over time, stacked by model."""
    ranked = [row.group[0] for row in found.models.rows if row.cost > 0]
    shown = ranked if len(ranked) <= _COLOURS else ranked[: _COLOURS - 1]
    rest = len(ranked) - len(shown)
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in found.times.rows:
        time, model = row.group
        name = model if model in shown else ""
        sums[name][axis.key_of(time)] += usd_to_nano(row.cost)
    lines = [
        _Line(label(name, _SHOWN), short(name, _SHOWN), f"s{place}", _along(axis, sums[name]))
        for place, name in enumerate(shown)
    ]
    if rest:
        name = f"{rest:,} other models"
        lines.append(_Line(Markup(name), name, "rest", _along(axis, sums[""])))
    title = f"Spend by {axis.unit} and model"
    expected = expected_along(found, axis)
    chart = _drawn(title, axis, lines, amounts, expected)
    end = end_of_span(found, amounts)
    return joined(chart, end, _numbers(title, axis, lines, amounts, expected))


def savings_over_time(found: Overview, axis: Timeline, amounts: Amounts) -> Markup:
    """Return what the cache and cheaper models have saved, over time."""
    cache: dict[str, int] = defaultdict(int)
    cheaper: dict[str, int] = defaultdict(int)
    for row in found.times.rows:
        key = axis.key_of(row.group[0])
        cache[key] += usd_to_nano(row.saved)
        cheaper[key] += usd_to_nano(row.fallback_saved)
    lines = [
        _Line(Markup("answered from the cache"), "cache", "s2", _along(axis, cache)),
        _Line(Markup("answered by cheaper models"), "cheaper models", "s5", _along(axis, cheaper)),
    ]
    title = f"Saved by {axis.unit}"
    return joined(_drawn(title, axis, lines, amounts), _numbers(title, axis, lines, amounts))


def _drawn(
    title: str,
    axis: Timeline,
    lines: Sequence[_Line],
    amounts: Amounts,
    expected: tuple[int, ...] = (),
) -> Markup:
    drawn = [*lines]
    if any(expected):
        title, name = f"{title}, and what is still expected", "still expected"
        drawn.append(_Line(Markup(name), name, EXPECTED, expected))
    hints = [_hint(step.name, place, drawn, amounts) for place, step in enumerate(axis.steps)]
    series = [
        Series(line.plain, line.colour, tuple(amounts.size(nano_to_usd(one)) for one in line.nano))
        for line in drawn
    ]
    chart = columns(title, axis.steps, series, amounts.tick, hints)
    return joined(chart, tag("ul", *(_entry(line, amounts) for line in drawn), class_="legend"))


def _hint(name: str, place: int, lines: Sequence[_Line], amounts: Amounts) -> str:
    here = [(line, line.nano[place]) for line in lines if line.nano[place]]
    parts = [f"{line.plain}: {amounts.text(nano_to_usd(nano))}" for line, nano in here]
    spent = [nano for line, nano in here if line.colour != EXPECTED]
    if here and not spent:  # a step that has not begun
        return "\n".join([name, *parts])
    return "\n".join([f"{name}: {amounts.text(nano_to_usd(sum(spent)))}", *parts])


def _entry(line: _Line, amounts: Amounts) -> Markup:
    total = amounts.text(nano_to_usd(sum(line.nano)))
    return tag("li", swatch(line.colour), tag("span", line.name, " ", tag("b", total)))


def _numbers(
    title: str,
    axis: Timeline,
    lines: Sequence[_Line],
    amounts: Amounts,
    expected: tuple[int, ...] = (),
) -> Markup:
    """Return the chart as a table, for those who do not see it, or want to copy it."""
    sums = [sum(at) for at in zip(*(line.nano for line in lines), strict=True)]
    heads = [Markup(axis.unit.capitalize()), *(line.name for line in lines), Markup("Total")]

    def row(name: str, cells: Iterable[int]) -> Markup:
        shown = (tag("td", amounts.markup(nano_to_usd(cell))) for cell in cells)
        return tag("tr", tag("th", name, scope="row"), *shown)

    body = (
        row(step.name, [*(line.nano[place] for line in lines), sums[place]])
        for place, step in enumerate(axis.steps)
        if any(line.nano[place] for line in lines)
    )
    total = row("Total", [*(sum(line.nano) for line in lines), sum(sums)])
    table = tag("table", head(heads), tag("tbody", *body), tag("tfoot", total))
    return tag(
        "details",
        tag("summary", "As a table"),
        tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=title),
        expected_table(axis, expected, amounts) if any(expected) else None,
    )


def _along(axis: Timeline, sums: dict[str, int]) -> tuple[int, ...]:
    return tuple(sums.get(step.key, 0) for step in axis.steps)
