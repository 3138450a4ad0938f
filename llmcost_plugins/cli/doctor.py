"""``llmcost doctor``: whether everything is as it should be."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click
from rich.table import Table
from rich.text import Text

from llmcost_plugins.cli.options import format_option
from llmcost_plugins.clock import utc_now
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import Format, plain_console, plain_table, show

if TYPE_CHECKING:
    from llmcost_plugins.checkup import Fact

_FINDING: Final = 1
_NO_STORAGE: Final = 3


@click.command()
@format_option
@click.option(
    "--adapters",
    is_flag=True,
    help="Also try the adapters of the frameworks that are installed (takes seconds).",
)
def doctor(form: str, *, adapters: bool) -> int:
    """Show what is in force, from where, and what is wrong with it. Changes nothing.

    Looks at versions, settings, the ledger and its file, prices, budgets, what could not be
    recorded or told, and the cache. The exit status is 1 when something is wrong, 3 when the
    ledger cannot be read.
    """
    # Not at the top: no other command needs it.
    from llmcost_plugins.checkup import examine

    seen = examine(Settings.from_env(), utc_now(), try_adapters=adapters)
    console = plain_console()
    show([asdict(fact) for fact in seen.facts], lambda: _table(seen.facts), Format(form), console)
    if form == Format.TABLE and seen.findings:
        console.print(_findings(seen.findings))
    count = len(seen.findings)
    click.echo(f"{count} findings" if count else "nothing is wrong", err=True)
    if seen.unreadable:
        return _NO_STORAGE
    return _FINDING if count else 0


def _table(facts: "Sequence[Fact]") -> Table:
    table = plain_table("What is in force")
    for heading in ("", "About", "What", "Value", "From"):
        table.add_column(heading, overflow="fold")
    section = ""
    for fact in facts:
        shown = "" if fact.section == section else fact.section
        section = fact.section
        mark = "!" if fact.finding else ""
        # As text: a value such as [red] is no markup.
        row = (mark, shown, fact.name, fact.value, fact.source)
        table.add_row(*(Text(cell) for cell in row))
    return table


def _findings(facts: "Sequence[Fact]") -> Table:
    table = plain_table("Findings")
    for heading in ("About", "What is wrong", "What to do"):
        table.add_column(heading, overflow="fold")
    for fact in facts:
        row = (f"{fact.section}: {fact.name}", fact.finding, fact.remedy)
        table.add_row(*(Text(cell) for cell in row))
    return table
