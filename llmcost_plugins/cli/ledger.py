"""``llmcost ledger``: look after what is recorded."""

from typing import Final

import click
from rich.console import Console
from rich.table import Table

from llmcost_plugins.cli.options import format_option, instant
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.money import format_usd, usd_string
from llmcost_plugins.pricing.catalog import shared_catalog
from llmcost_plugins.repricing import Repricing, apply, reprice
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import Format, Record, plain_table, show
from llmcost_plugins.tracker import utc_now

_FINDING: Final = 1


@click.group()
def ledger() -> None:
    """Look after what is recorded."""


@ledger.command(name="reprice")
@click.option("--since", metavar="DATE", help="Calls from this day (or time) on.")
@click.option("--until", metavar="DATE", help="Calls up to before this day (or time).")
@click.option("--all", "everything", is_flag=True, help="Calls that had a price, too.")
@click.option("--apply", "applies", is_flag=True, help="Write the corrections.")
@format_option
def reprice_command(
    since: str | None, until: str | None, everything: bool, applies: bool, form: str
) -> int:
    """Propose corrections for calls that had no price when they were made.

    Entries are never edited: with --apply, a correction is written as a new entry that names its
    call. Without it nothing is changed, and the exit status is 1 if there is something to correct.
    """
    settings = Settings.from_env()
    start, end = instant(since, "--since", settings), instant(until, "--until", settings)
    catalog = shared_catalog(settings.fetched_prices, settings.prices)
    now = utc_now()
    with open_ledger(settings.ledger, settings.timezone) as store:
        if not store.exists():
            click.echo(f"nothing is recorded yet in {settings.ledger}", err=True)
            return 0
        proposed = list(
            reprice(store, catalog, now=now, since=start, until=end, everything=everything)
        )
        shown = list(apply(store, iter(proposed))) if applies else proposed
    show([_record(one) for one in shown], lambda: _table(shown), Format(form), Console())
    change = sum(one.correction.cost for one in shown)
    what = "corrected" if applies else "to correct"
    hint = "" if applies or not shown else "; --apply writes the corrections"
    click.echo(f"{len(shown)} calls {what}, {format_usd(change)} in all{hint}", err=True)
    return _FINDING if shown and not applies else 0


def _record(one: Repricing) -> Record:
    call, change = one.entry.call, one.correction
    return {
        "call": call.id,
        "at": call.at.isoformat(),
        "model": call.model,
        "recorded_usd": usd_string(one.recorded),
        "repriced_usd": usd_string(one.recorded + change.cost),
        "change_usd": usd_string(change.cost),
        "trust": change.usage.trust.value,
    }


def _table(shown: list[Repricing]) -> Table:
    table = plain_table("Repriced by model")
    table.add_column("Model", overflow="fold")
    for heading in ("Calls", "Recorded", "Repriced", "Change"):
        table.add_column(heading, justify="right", no_wrap=True)
    by_model: dict[str, list[Repricing]] = {}
    for one in shown:
        by_model.setdefault(one.entry.call.model, []).append(one)
    for model, calls in sorted(by_model.items()):
        recorded = sum(one.recorded for one in calls)
        change = sum(one.correction.cost for one in calls)
        table.add_row(
            model,
            f"{len(calls):,}",
            format_usd(recorded),
            format_usd(recorded + change),
            format_usd(change),
        )
    return table
