"""The tables of a page: what was spent by model, and by whoever else was asked for."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from llmcost_plugins.money import nano_to_usd, usd_to_nano
from llmcost_plugins.page.amounts import Amounts
from llmcost_plugins.page.charts import share_bar
from llmcost_plugins.page.markup import Markup, head, label, tag
from llmcost_plugins.reporter import Report
from llmcost_plugins.reports import ReportRow
from llmcost_plugins.wording import percent

_ROWS: Final = 12


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
    return tag("table", head(heads), tag("tbody", *body))


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
    heads = tag(
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
    return tag("table", heads, body, tag("tfoot", line(Markup("All"), report.total)))


def _not_exact(row: ReportRow) -> int:
    return row.inexact + row.unpriced


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
