"""Budgets as tables for people, and as JSON and CSV for programs."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmcost_plugins.budgets import BudgetStatus, Unit
from llmcost_plugins.fitting_tables import FittingTable
from llmcost_plugins.money import format_usd

_GROUP: Final[dict[str, Any]] = {"overflow": "fold", "min_width": 12}
_BAR_CELLS: Final = 4
_NEARLY: Final = Decimal("0.8")

Record = dict[str, Any]


class Format(StrEnum):
    """How data is written to standard output."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def plain_console(*, stderr: bool = False, to_text: bool = False) -> Console:
    """Return a console that shows text as it is: a label such as ``[/red]`` is no markup.

    Args:
        stderr: whether it is that of messages.
        to_text: whether what is captured of it goes to a file, without colours.
    """
    file = io.StringIO() if to_text else None
    return Console(stderr=stderr, markup=False, emoji=False, file=file)


def budget_records(statuses: Iterable[BudgetStatus]) -> list[Record]:
    """Return the statuses as plain values; amounts as decimal strings, in what *unit* says."""
    return [
        {
            "scope": status.scope,
            "period": status.per.value,
            "unit": status.unit.value,
            "limit": None if status.limit is None else f"{status.limit:f}",
            "spent": f"{status.spent:f}",
            "held": f"{status.held:f}",
            "calls_in_flight": status.holds,
            "left": None if status.left is None else f"{status.left:f}",
            "projected": None if status.projected is None else f"{status.projected:f}",
            "resets_at": status.resets_at.isoformat() if status.resets_at else None,
        }
        for status in statuses
    ]


def write_json(records: Sequence[Record]) -> str:
    """Write records as a JSON array."""
    return json.dumps(records, indent=2, ensure_ascii=False)


def write_csv(records: Sequence[Record]) -> str:
    """Write records as CSV with a header; nothing at all when there are none."""
    if not records:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_harmless(record) for record in records)
    return out.getvalue().rstrip("\n")


def budget_table(
    statuses: Iterable[BudgetStatus], title: str = "Budgets", spare: Sequence[str] = ()
) -> Table:
    """Return budgets as a table with a bar of what is spent and held, and where that leads to."""
    table = plain_table(title, spare=spare)
    table.add_column("Budget", **_GROUP)
    table.add_column("Per", no_wrap=True)
    for heading in ("Limit", "Spent", "Held", "Left"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Used → end", no_wrap=True)
    table.add_column("Resets (UTC)", no_wrap=True)
    for status in statuses:
        table.add_row(
            # As Text: a value such as "[/red]" is no markup.
            Text(status.scope if status.unit is Unit.USD else f"{status.scope} ({status.unit})"),
            status.per.value,
            _amount(status, status.limit),
            _amount(status, status.spent),
            _amount(status, status.held if status.holds else None),
            _amount(status, status.left),
            _bar(status),
            _moment(status.resets_at),
        )
    return table


def show(
    records: Sequence[Record], table: Callable[[], Table], form: Format, console: Console
) -> None:
    """Write data to the console in the form asked for."""
    if form is Format.TABLE:
        console.print(table())
        return
    text = write_json(records) if form is Format.JSON else write_csv(records)
    # Not through rich: it would wrap and colour what a program reads.
    console.file.write(f"{text}\n" if text else "")


def plain_table(
    title: str, *, show_footer: bool = False, spare: Sequence[str] = ()
) -> FittingTable:
    """Return an empty table in the style of all of them; *spare* as of `FittingTable`."""
    # Without padding: the box parts the columns, and eight of them fit 80 characters.
    return FittingTable(
        spare=spare,
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        show_footer=show_footer,
        padding=0,
    )


def _amount(status: BudgetStatus, amount: Decimal | None) -> str:
    if amount is None:
        return "-"
    count = status.count(amount)
    return format_usd(count) if status.unit is Unit.USD else f"{count:,}"


def _bar(status: BudgetStatus) -> Text:
    if not status.limit:
        return Text("-")
    used = status.used
    cells = min(_BAR_CELLS, int(used * _BAR_CELLS))
    colour = "red" if used >= 1 else "yellow" if used >= _NEARLY else "green"
    bar = Text("█" * cells, style=colour)
    bar.append("░" * (_BAR_CELLS - cells), style="dim")
    bar.append(f" {used:.0%}")
    if status.projected is not None:
        share = status.projected / status.limit
        bar.append(f" → {share:.0%}", style="red" if share > 1 else "")
    return bar


def _moment(instant: datetime | None) -> str:
    return instant.strftime("%m-%d %H:%M") if instant else "-"


def _harmless(record: Record) -> Record:
    """Keep a spreadsheet from taking a label such as ``=cmd()`` for a formula."""
    return {
        key: f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value
        for key, value in record.items()
    }


_FORMULA: Final = ("=", "+", "@", "\t", "\r")
