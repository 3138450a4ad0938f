"""Comparisons as tables for people, and as JSON and CSV for programs."""

import json
from datetime import tzinfo

from rich.console import Group
from rich.text import Text

from llmcost_plugins.effects import Comparison, EffectRow
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.tables import Record, plain_table, write_csv
from llmcost_plugins.wording import (
    currency_record,
    money_record,
    money_text,
    rate_text,
    span_in_words,
)

_AMOUNTS = ("before", "now", "change", "price", "volume", "mix")


def comparison_json(found: Comparison, currency: Currency | None = None) -> str:
    """Write a comparison as a JSON object; money as decimal strings, in USD and in *currency*."""
    document = {
        "by": found.by,
        **{
            f"{name}_{end}": instant and instant.isoformat()
            for name, span in (("now", found.span), ("before", found.before))
            for end, instant in (("since", span.start), ("until", span.end))
        },
        "currency": currency_record(currency),
        "rows": [
            {**dict(zip(found.by, row.group, strict=True)), **_record(row, currency)}
            for row in found.rows
        ],
        "total": _record(found.total, currency),
        "unpriced": found.unpriced,
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def comparison_csv(found: Comparison, currency: Currency | None = None) -> str:
    """Write a comparison as CSV: the column *line* tells ``row`` from ``total``."""
    lines = [(row.group, "row", row) for row in found.rows]
    lines.append((("",) * len(found.by), "total", found.total))
    return write_csv(
        [
            {**dict(zip(found.by, group, strict=True)), "line": line, **_record(row, currency)}
            for group, line, row in lines
        ]
    )


def comparison_table(found: Comparison, zone: tzinfo, currency: Currency | None = None) -> Group:
    """Return a comparison as a table, and below it what the effects are."""
    title = f"Spend {span_in_words(found.span, zone)}"
    table = plain_table(title, show_footer=True)
    for place, name in enumerate(found.by):
        footer = "total" if place == 0 else ""
        table.add_column(Text(name.capitalize()), footer, overflow="fold", min_width=12)
    for name in _AMOUNTS:
        footer = _money(found.total, name, currency)
        table.add_column(name.capitalize(), footer, justify="right", no_wrap=True)
    for row in found.rows:
        # As Text: a label such as "[/red]" is no markup.
        group = [Text(value or "(none)") for value in row.group]
        table.add_row(*group, *(_money(row, name, currency) for name in _AMOUNTS))
    notes = [
        f"before: {span_in_words(found.before, zone)}",
        "price: what a token costs more; volume: more tokens; mix: other models and groups",
    ]
    if found.unpriced:
        notes.append(f"unpriced, and missing in all amounts: {found.unpriced:,} calls")
    if currency is not None:
        notes.append(rate_text(currency))
    return Group(table, Text("\n".join(notes)))


def _money(row: EffectRow, name: str, currency: Currency | None) -> str:
    return money_text(getattr(row, name), currency)


def _record(row: EffectRow, currency: Currency | None) -> Record:
    found: Record = {}
    for name in _AMOUNTS:
        found |= money_record(name, getattr(row, name), currency)
    return found
