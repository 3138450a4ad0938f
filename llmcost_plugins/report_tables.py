"""Reports as tables and Markdown for people, and as JSON and CSV for programs."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import tzinfo
from decimal import Decimal
from typing import Final

from rich.console import Group
from rich.text import Text

from llmcost_plugins.periods import Window
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.reporter import Report
from llmcost_plugins.reports import Details, ReportRow
from llmcost_plugins.tables import Record, plain_table, write_csv
from llmcost_plugins.usage import METERS
from llmcost_plugins.wording import (
    change_text,
    currency_record,
    money_record,
    money_text,
    percent,
    printable,
    rate_text,
    span_in_words,
)

_Column = tuple[str, Callable[[ReportRow], str]]
_MANY: Final = 10_000_000  # from here on columns show millions; JSON and CSV have every token
_ALWAYS: Final = frozenset({"Calls", "Cost", "Average", "Tokens"})
_MARKDOWN: Final = re.compile(r"([\\|`*_<>\[\]#])")


def report_json(report: Report, currency: Currency | None = None) -> str:
    """Write a report as a JSON object; money as decimal strings, in USD and in *currency*."""
    total, previous = _record(report.total, currency), None
    if report.previous is not None and report.before is not None:
        previous = {**_ends(report.before), **_record(report.previous, currency)}
    document = {
        "by": report.by,
        **_ends(report.span),
        "currency": currency_record(currency),
        "rows": [
            {**dict(zip(report.by, row.group, strict=True)), **_record(row, currency)}
            for row in report.rows
        ],
        "total": total,
        "previous": previous,
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def report_csv(report: Report, currency: Currency | None = None) -> str:
    """Write a report as CSV: the column *line* tells rows from ``total`` and ``previous``."""
    lines = [("row", row.group, row) for row in report.rows]
    nobody = ("",) * len(report.by)
    lines.append(("total", nobody, report.total))
    if report.previous is not None:
        # The entries of the period before were not read; their meters are left out, not zero.
        lines.append(("previous", nobody, report.previous))
    return write_csv([_flat(report, line, currency) for line in lines])


def report_table(
    report: Report, title: str, zone: tzinfo, currency: Currency | None = None
) -> Group:
    """Return a report as a table with its sums, and below it what to know of them."""
    table = plain_table(title, show_footer=len(report.rows) != 1)
    for place, name in enumerate(report.by):
        footer = Text("total" if place == 0 else "")
        table.add_column(Text(name.capitalize()), footer, overflow="fold", min_width=12)
    columns = _columns(report, currency)
    for heading, show in columns:
        table.add_column(heading, show(report.total), justify="right", no_wrap=True)
    for row in report.rows:
        # As Text: a label such as "[/red]" is no markup.
        group = [Text(printable(value) or "(none)") for value in row.group]
        table.add_row(*group, *(show(row) for _, show in columns))
    return Group(table, Text("\n".join(_notes(report, zone, currency))))


def report_markdown(
    report: Report, title: str, zone: tzinfo, currency: Currency | None = None
) -> str:
    """Return what `report_table` shows as a table of Markdown."""
    columns = _columns(report, currency)
    headings = [*map(_escaped, map(str.capitalize, report.by)), *(name for name, _ in columns)]
    ruler = [*(["---"] * len(report.by)), *(["---:"] * len(columns))]
    rows = [
        [*(_escaped(value) or "(none)" for value in row.group), *(show(row) for _, show in columns)]
        for row in report.rows
    ]
    named = ["**total**", *([""] * (len(report.by) - 1))] if report.by else []
    rows.append([*named, *(show(report.total) for _, show in columns)])
    lines = [f"| {' | '.join(cells)} |" for cells in (headings, ruler, *rows)]
    notes = (f"- {_escaped(note)}" for note in _notes(report, zone, currency))
    return "\n".join([f"### {_escaped(title)}", "", *lines, "", *notes])


def _columns(report: Report, currency: Currency | None) -> list[_Column]:
    def money(amount: Decimal | None) -> str:
        return "-" if amount is None else money_text(amount, currency)

    columns: list[_Column] = [
        ("Calls", lambda row: f"{row.calls:,}"),
        ("Cost", lambda row: money(row.cost)),
        ("Average", lambda row: money(row.average)),
        ("Cached", lambda row: _part(row, row.cached)),
        ("Saved", lambda row: money(row.saved or None)),
        *_fallback_columns(report, money),
        ("Refused", lambda row: f"{row.refused:,}" if row.refused else "-"),
        *_token_columns(report),
        ("Estimated", lambda row: _part(row, row.inexact)),
        ("Unpriced", lambda row: _part(row, row.unpriced)),
    ]
    return [
        (heading, show)
        for heading, show in columns
        if heading in _ALWAYS or any(show(row) != "-" for row in (*report.rows, report.total))
    ]


def _fallback_columns(report: Report, money: Callable[[Decimal | None], str]) -> list[_Column]:
    saved: _Column = ("Fell back", lambda row: money(row.fallback_saved or None))
    if report.total.details is None:
        return [saved]
    return [
        ("Fell back", lambda row: _part(row, _of(row).fell_back)),
        ("Fell back, saved", lambda row: money(row.fallback_saved or None)),
    ]


def _token_columns(report: Report) -> list[_Column]:
    if report.total.details is None:
        return [
            (
                "Tokens",
                lambda row: "+".join(map(_short, (row.prompt_tokens, row.completion_tokens))),
            )
        ]

    def column(meter: str) -> _Column:
        return meter, lambda row: _short(_of(row).meters.get(meter, 0))

    return [column(meter) for meter in _meters(report.total)]


def _notes(report: Report, zone: tzinfo, currency: Currency | None) -> list[str]:
    total = report.total
    estimated, unpriced = _of_all(total, total.inexact), _of_all(total, total.unpriced)
    notes = [f"estimated: {estimated}; unpriced, and missing in the cost: {unpriced}"]
    if report.previous is not None and report.before is not None:
        before = report.previous
        change = f"; now {change_text(total.cost, before.cost)}" if before.cost > 0 else ""
        notes.append(
            f"before, {span_in_words(report.before, zone)}: {money_text(before.cost, currency)}, "
            f"{before.calls:,} calls{change}"
        )
    if currency is not None:
        notes.append(rate_text(currency))
    return notes


def _record(row: ReportRow, currency: Currency | None) -> Record:
    record: Record = {
        "calls": row.calls,
        **money_record("cost", row.cost, currency),
        **money_record("average", row.average, currency),
        "cached": row.cached,
        "cache_hit_rate": _share(row, row.cached),
        **money_record("saved", row.saved, currency),
        **money_record("fallback_saved", row.fallback_saved, currency),
        "refused": row.refused,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "inexact": row.inexact,
        "inexact_share": _share(row, row.inexact),
        "unpriced": row.unpriced,
        "unpriced_share": _share(row, row.unpriced),
    }
    if row.details is not None:
        meters = {meter: row.details.meters[meter] for meter in _meters(row)}
        record |= {"fell_back": row.details.fell_back, "meters": meters}
    return record


def _flat(
    report: Report, line: tuple[str, tuple[str, ...], ReportRow], currency: Currency | None
) -> Record:
    kind, group, row = line
    record = _record(replace(row, details=None), currency)
    if report.total.details is not None:
        known = row.details
        record["fell_back"] = None if known is None else known.fell_back
        for meter in _meters(report.total):
            record[f"meter.{meter}"] = None if known is None else known.meters.get(meter, 0)
    return {**dict(zip(report.by, group, strict=True)), "line": kind, **record}


def _ends(span: Window) -> Record:
    return {
        "since": span.start and span.start.isoformat(),
        "until": span.end and span.end.isoformat(),
    }


def _share(row: ReportRow, calls: int) -> str | None:
    share = row.share(calls)
    return None if share is None else f"{share:f}"


def _part(row: ReportRow, calls: int) -> str:
    share = row.share(calls)
    if not calls:
        return "-"
    return f"{calls:,}" if share is None else f"{calls:,} ({percent(share)})"


def _short(tokens: int) -> str:
    return f"{tokens:,}" if tokens < _MANY else f"{tokens // 1_000_000:,}M"


def _of_all(row: ReportRow, calls: int) -> str:
    share = row.share(calls) or Decimal(0)
    return f"{calls:,} of {row.calls:,} calls ({percent(share)})"


def _of(row: ReportRow) -> Details:
    assert row.details is not None  # noqa: S101 - asked of detailed reports only
    return row.details


def _meters(row: ReportRow) -> Sequence[str]:
    known = _of(row).meters
    return [meter for meter in METERS if meter in known] + sorted(known.keys() - set(METERS))


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", printable(text))
