"""``llmcost ledger``: look after what is recorded."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.table import Table

from llmcost_plugins.cli.lazy_group import LazyGroup
from llmcost_plugins.cli.options import format_option, given_instant, instant, say_if_empty
from llmcost_plugins.clock import utc_now
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.ledger.sqlite import SQLiteLedger
from llmcost_plugins.money import format_usd, usd_string
from llmcost_plugins.pricing.catalog import shared_catalog
from llmcost_plugins.repricing import Repricing, apply, reprice
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import Format, Record, plain_console, plain_table, show

_FINDING: Final = 1


@click.group(cls=LazyGroup, lazy={"import": "llmcost_plugins.cli.records:import_command"})
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
    show([_record(one) for one in shown], lambda: _table(shown), Format(form), plain_console())
    change = sum(one.correction.cost for one in shown)
    what = "corrected" if applies else "to correct"
    hint = "" if applies or not shown else "; --apply writes the corrections"
    click.echo(f"{len(shown)} calls {what}, {format_usd(change)} in all{hint}", err=True)
    return _FINDING if shown and not applies else 0


@ledger.command(name="holds")
@format_option
def holds_command(form: str) -> None:
    """Show what is held for calls in flight, oldest first."""
    settings = Settings.from_env()
    with open_ledger(settings.ledger, settings.timezone) as store:
        holds = store.holds() if store.exists() else []
        say_if_empty(store, settings)
    records = [
        {
            "call": hold.call.id,
            "at": hold.call.at.isoformat(),
            "model": hold.call.model,
            "held_usd": usd_string(hold.charge.usd),
            "tokens": hold.charge.tokens,
            "owner": hold.owner,
            "lease_until": hold.lease_until.isoformat(),
        }
        for hold in holds
    ]
    table = plain_table("Holds")
    table.add_column("Call", overflow="fold")
    table.add_column("Model", overflow="fold")
    table.add_column("Held", justify="right", no_wrap=True)
    table.add_column("Owner", overflow="fold")
    table.add_column("Lease until (UTC)", no_wrap=True)
    for hold in holds:
        until = hold.lease_until.strftime("%m-%d %H:%M:%S")
        held = format_usd(hold.charge.usd)
        table.add_row(hold.call.id, hold.call.model, held, hold.owner, until)
    show(records, lambda: table, Format(form), plain_console())


@ledger.command(name="verify")
@format_option
def verify_command(form: str) -> int:
    """Compute buckets and sums again from the entries, and show what differs.

    The exit status is 1 if something does.
    """
    with _file() as (_, store):
        differences = store.upkeep.verify()
    records = [
        {"what": one.what, "expected": str(one.expected), "found": str(one.found)}
        for one in differences
    ]
    table = plain_table("Differences")
    for heading in ("What", "Expected", "Found"):
        table.add_column(heading, overflow="fold")
    for record in records:
        table.add_row(*record.values())
    if records or form != Format.TABLE:
        show(records, lambda: table, Format(form), plain_console())
    click.echo(f"{len(records)} differences" if records else "all sums agree", err=True)
    return _FINDING if records else 0


@ledger.command(name="purge")
@click.option("--before", metavar="DATE", help="Delete the entries of before this day (or time).")
@click.option("--user", metavar="USER", help="Take this user's name out of everything.")
def purge_command(before: str | None, user: str | None) -> None:
    """Delete old entries, or take a person out of the ledger. Sums stay as they are."""
    who, now = getpass.getuser(), utc_now()
    with _file() as (settings, store):
        if before is not None and user is None:
            end = given_instant(before, "--before", settings)
            count = store.upkeep.purge(end, who=who, at=now)
            done = f"{count} entries deleted; llmcost ledger vacuum gives their space back"
        elif user is not None and before is None:
            count = store.upkeep.erase_user(user, who=who, at=now)
            done = f"{count} entries lost the name of the user"
        else:
            msg = "name what to purge: either --before DATE or --user USER"
            raise ConfigurationError(msg)
    click.echo(done, err=True)


@ledger.command(name="backup")
@click.argument("path", type=click.Path(path_type=Path))
def backup_command(path: Path) -> None:
    """Write a copy of the ledger to PATH while it is in use."""
    with _file() as (_, store):
        store.upkeep.backup(path)
    click.echo(f"written to {path}", err=True)


@ledger.command(name="vacuum")
def vacuum_command() -> None:
    """Write the file anew, without the space of what was deleted. Calls wait meanwhile."""
    with _file() as (_, store):
        done = store.upkeep.vacuum()
    click.echo(f"{done.before:,} bytes before, {done.after:,} after", err=True)


@contextmanager
def _file() -> Iterator[tuple[Settings, SQLiteLedger]]:
    settings = Settings.from_env()
    with open_ledger(settings.ledger, settings.timezone) as store:
        if not isinstance(store, SQLiteLedger):
            msg = f"LLMCOST_LEDGER={settings.ledger!r} is no file: nothing to look after"
            raise ConfigurationError(msg)
        say_if_empty(store, settings)
        yield settings, store


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
