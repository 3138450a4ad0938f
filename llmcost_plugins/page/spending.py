"""The spending of a page: over time and by model, and by whoever else was asked for."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from llmcost_plugins.money import nano_to_usd, usd_to_nano
from llmcost_plugins.overview import Overview
from llmcost_plugins.page.amounts import Amounts
from llmcost_plugins.page.charts import Series, columns, share_bar, swatch
from llmcost_plugins.page.markup import Markup, joined, label, short, tag
from llmcost_plugins.page.timeline import Timeline
from llmcost_plugins.reporter import Report
from llmcost_plugins.reports import ReportRow
from llmcost_plugins.wording import percent

_COLOURS: Final = 6
_ROWS: Final = 12
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
    return _drawn(f"Spend by {axis.unit} and model", axis, lines, amounts)


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
    return _drawn(f"Saved by {axis.unit}", axis, lines, amounts)


def by_group(report: Report, amounts: Amounts) -> Markup:
    """Return a table of who spent how much, with bars; the many that spent little as one row."""
    most = max((amounts.size(row.cost) for row in report.rows), default=0)

    def line(name: Markup, row: ReportRow, colour: str) -> Markup:
        bar = share_bar(amounts.size(row.cost), most, colour)
        cells = (f"{row.calls:,}", amounts.markup(row.cost), _share(row, report.total))
        return tag("tr", tag("th", name, bar, scope="row"), *(tag("td", cell) for cell in cells))

    body = [line(label(row.group[0]), row, "s0") for row in report.rows[:_ROWS]]
    if rest := report.rows[_ROWS:]:
        body.append(line(Markup(f"{len(rest):,} others"), _summed(rest), "rest"))
    heads = [report.by[0].removeprefix("label.").capitalize(), "Calls", "Cost", "Share"]
    return tag("table", _head(heads), tag("tbody", *body))


def models_table(report: Report, amounts: Amounts) -> Markup:
    """Return what there is to know of each model, with the sums of all."""
    shown, rest = report.rows[:_ROWS], report.rows[_ROWS:]
    rows = [(label(row.group[0]), row) for row in shown]
    if rest:
        rows.append((Markup(f"{len(rest):,} others"), _summed(rest)))
    columns: list[tuple[str, bool, Callable[[ReportRow], Markup | str]]] = [
        ("Calls", False, lambda row: f"{row.calls:,}"),
        ("Cost", False, lambda row: amounts.markup(row.cost)),
        ("Share", False, lambda row: _share(row, report.total)),
        ("Per call", True, lambda row: amounts.markup(row.average)),
        ("Tokens in", True, lambda row: f"{row.prompt_tokens:,}"),
        ("Tokens out", True, lambda row: f"{row.completion_tokens:,}"),
        ("Cached", True, lambda row: f"{row.cached:,}" if row.cached else "-"),
        ("Not exact", True, lambda row: f"{_not_exact(row):,}" if _not_exact(row) else "-"),
    ]
    head = tag(
        "thead",
        tag(
            "tr",
            tag("th", "Model", scope="col"),
            *(
                tag("th", name, scope="col", class_="wide" if wide else None)
                for name, wide, _ in columns
            ),
        ),
    )

    def line(name: Markup, row: ReportRow) -> Markup:
        cells = (tag("td", show(row), class_="wide" if wide else None) for _, wide, show in columns)
        return tag("tr", tag("th", name, scope="row"), *cells)

    body = tag("tbody", *(line(name, row) for name, row in rows))
    return tag("table", head, body, tag("tfoot", line(Markup("All"), report.total)))


def _not_exact(row: ReportRow) -> int:
    return row.inexact + row.unpriced


def _drawn(title: str, axis: Timeline, lines: Sequence[_Line], amounts: Amounts) -> Markup:
    sums = [sum(at) for at in zip(*(line.nano for line in lines), strict=True)]
    hints = [
        "\n".join(
            [f"{step.name}: {amounts.text(nano_to_usd(sums[place]))}"]
            + [
                f"{line.plain}: {amounts.text(nano_to_usd(line.nano[place]))}"
                for line in lines
                if line.nano[place]
            ]
        )
        for place, step in enumerate(axis.steps)
    ]
    series = [
        Series(line.plain, line.colour, tuple(amounts.size(nano_to_usd(one)) for one in line.nano))
        for line in lines
    ]
    chart = columns(title, axis.steps, series, amounts.tick, hints)
    legend = tag("ul", *(_entry(line, amounts) for line in lines), class_="legend")
    return joined(chart, legend, _numbers(title, axis, lines, sums, amounts))


def _entry(line: _Line, amounts: Amounts) -> Markup:
    total = amounts.text(nano_to_usd(sum(line.nano)))
    return tag("li", swatch(line.colour), tag("span", line.name, " ", tag("b", total)))


def _numbers(
    title: str, axis: Timeline, lines: Sequence[_Line], sums: Sequence[int], amounts: Amounts
) -> Markup:
    """Return the chart as a table, for those who do not see it, or want to copy it."""
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
    table = tag("table", _head(heads), tag("tbody", *body), tag("tfoot", total))
    return tag(
        "details",
        tag("summary", "As a table"),
        tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=title),
    )


def _along(axis: Timeline, sums: dict[str, int]) -> tuple[int, ...]:
    return tuple(sums.get(step.key, 0) for step in axis.steps)


def _share(row: ReportRow, total: ReportRow) -> str:
    return percent(row.cost / total.cost) if total.cost > 0 else "-"


def _summed(rows: Sequence[ReportRow]) -> ReportRow:
    def count(name: str) -> int:
        return sum(getattr(row, name) for row in rows)

    def money(name: str) -> Decimal:
        return nano_to_usd(sum(usd_to_nano(getattr(row, name)) for row in rows))

    return ReportRow(
        group=(),
        calls=count("calls"),
        refused=count("refused"),
        cached=count("cached"),
        cost=money("cost"),
        saved=money("saved"),
        fallback_saved=money("fallback_saved"),
        prompt_tokens=count("prompt_tokens"),
        completion_tokens=count("completion_tokens"),
        inexact=count("inexact"),
        unpriced=count("unpriced"),
    )


def _head(names: Iterable[str]) -> Markup:
    return tag("thead", tag("tr", *(tag("th", name, scope="col") for name in names)))
