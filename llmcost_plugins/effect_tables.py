"""Comparisons as tables for people, and as JSON and CSV for programs."""

import json
from datetime import tzinfo

from rich.console import Group
from rich.text import Text

from llmcost_plugins.effects import Comparison, EffectRow
from llmcost_plugins.money import format_usd, usd_to_nano
from llmcost_plugins.tables import Record, plain_table, write_csv
from llmcost_plugins.wording import span_in_words

_AMOUNTS = ("before", "now", "change", "price", "volume", "mix")


def comparison_json(found: Comparison) -> str:
    """Write a comparison as a JSON object; money as decimal strings in USD."""
    document = {
        "by": found.by,
        **{
            f"{name}_{end}": instant and instant.isoformat()
            for name, span in (("now", found.span), ("before", found.before))
            for end, instant in (("since", span.start), ("until", span.end))
        },
        "rows": [
            {**dict(zip(found.by, row.group, strict=True)), **_record(row)} for row in found.rows
        ],
        "total": _record(found.total),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def comparison_csv(found: Comparison) -> str:
    """Write a comparison as CSV: the column *line* tells ``row`` from ``total``."""
    lines = [(row.group, "row", row) for row in found.rows]
    lines.append((("",) * len(found.by), "total", found.total))
    return write_csv(
        [
            {**dict(zip(found.by, group, strict=True)), "line": line, **_record(row)}
            for group, line, row in lines
        ]
    )


def comparison_table(found: Comparison, zone: tzinfo) -> Group:
    """Return a comparison as a table, and below it what the effects are."""
    title = f"Spend {span_in_words(found.span, zone)}"
    table = plain_table(title, show_footer=True)
    for place, name in enumerate(found.by):
        footer = "total" if place == 0 else ""
        table.add_column(Text(name.capitalize()), footer, overflow="fold", min_width=12)
    for name in _AMOUNTS:
        footer = _usd(found.total, name)
        table.add_column(name.capitalize(), footer, justify="right", no_wrap=True)
    for row in found.rows:
        # As Text: a label such as "[/red]" is no markup.
        group = [Text(value or "(none)") for value in row.group]
        table.add_row(*group, *(_usd(row, name) for name in _AMOUNTS))
    notes = [
        f"before: {span_in_words(found.before, zone)}",
        "price: what a token costs more; volume: more tokens; mix: other models and groups",
    ]
    return Group(table, Text("\n".join(notes)))


def _usd(row: EffectRow, name: str) -> str:
    return format_usd(usd_to_nano(getattr(row, name)))


def _record(row: EffectRow) -> Record:
    return {f"{name}_usd": f"{getattr(row, name):f}" for name in _AMOUNTS}
