"""``llmcost cache``: what the completion cache holds, what it has saved, and how to purge it."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from llmcost_plugins.cache import CachedAnswer
from llmcost_plugins.cache.upkeep import StoredRow, exists, remove, remove_all, rows
from llmcost_plugins.cli.cache_stats import stats_records
from llmcost_plugins.cli.lazy_group import Group
from llmcost_plugins.cli.options import format_option
from llmcost_plugins.clock import utc_now
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.money import usd_string
from llmcost_plugins.reports import spend
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import Format, Record, plain_console, plain_table, show

_FINDING: Final = 1
_NO_STORAGE: Final = 3
_SPAN: Final = re.compile(r"(\d{1,6})([dhm])")
_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes"}
_KEY_SHOWN: Final = 12


@click.group(cls=Group)
def cache() -> None:
    """Show, verify and purge the completion cache under LLMCOST_CACHE_DIR."""


@cache.command(name="stats")
@click.option(
    "--by",
    type=click.Choice(["model", "feature"]),
    default="model",
    show_default=True,
    help="What to group by.",
)
@format_option
def stats_command(by: str, form: str) -> int:
    """Say what is stored, how often it answered, and what that has saved.

    Hits and savings are those of the ledger.
    """
    settings = Settings.from_env()
    with _storage(settings):
        found = [row.entry for row in _rows(settings) if row.entry is not None]
        with open_ledger(settings.ledger, settings.timezone) as store:
            spent = spend(store, [by], zone=settings.timezone)
        records = stats_records(found, spent, by)
        show(records, lambda: _stats_table(records, by), Format(form), plain_console())
    return 0


@cache.command(name="list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option(
    "--sort",
    type=click.Choice(["newest", "dearest", "largest"]),
    default="newest",
    show_default=True,
)
@format_option
def list_command(limit: int, sort: str, form: str) -> int:
    """List stored answers, without their texts."""
    settings = Settings.from_env()
    with _storage(settings):
        pairs = [(row, row.entry) for row in _rows(settings) if row.entry is not None]
        pairs.sort(key=_ORDERS[sort], reverse=True)
        records = [_record(row, entry) for row, entry in pairs[:limit]]
        show(records, lambda: _list_table(records), Format(form), plain_console())
        if len(pairs) > limit:
            click.echo(f"{len(pairs) - limit} more; see --limit", err=True)
    return 0


@cache.command(name="show")
@click.argument("key")
def show_command(key: str) -> int:
    """Show the stored answer whose key begins with KEY, as JSON."""
    settings = Settings.from_env()
    with _storage(settings):
        found = [row for row in _rows(settings) if row.key.startswith(key)]
        if len(found) != 1:
            many = "no stored answer has" if not found else f"{len(found)} stored answers have"
            msg = f"{many} a key that begins with {key!r}; see llmcost cache list"
            raise ConfigurationError(msg)
        (row,) = found
        if row.entry is None:
            click.echo(f"the row is not sound: {row.fault}", err=True)
            return _FINDING
        click.echo(json.dumps(_whole(row, row.entry), indent=2))
    return 0


@cache.command(name="verify")
@click.option("--repair", is_flag=True, help="Remove the rows that are not sound.")
@format_option
def verify_command(repair: bool, form: str) -> int:
    """Look for rows that are damaged, foreign or of another version; exit 1 if there are any."""
    settings = Settings.from_env()
    with _storage(settings):
        count, faults = 0, []
        for row in _rows(settings):
            count += 1
            if row.fault:
                faults.append({"key": row.key, "bytes": row.size, "fault": row.fault})
        show(faults, lambda: _table("Not sound", faults), Format(form), plain_console())
        click.echo(f"{count - len(faults)} of {count} rows are sound", err=True)
        if repair and faults:
            removed = remove(settings.cache_dir, settings.cache_size, lambda row: bool(row.fault))
            click.echo(f"removed {removed}", err=True)
            return 0
    return _FINDING if faults else 0


@cache.command(name="clear")
@click.option("--namespace", help="Only answers of this namespace.")
@click.option("--model", help="Only answers of this model.")
@click.option("--older-than", metavar="AGE", help="Only answers older than this: 30d, 12h, 90m.")
def clear_command(namespace: str | None, model: str | None, older_than: str | None) -> int:
    """Remove stored answers for good; all of them, unless options say which."""
    settings = Settings.from_env()
    before = None if older_than is None else utc_now() - _age(older_than)

    def wanted(row: StoredRow) -> bool:
        entry = row.entry
        return entry is not None and (
            (namespace is None or entry.namespace == namespace)
            and (model is None or entry.model == model)
            and (before is None or entry.at < before)
        )

    with _storage(settings):
        if not exists(settings.cache_dir):
            _say_if_empty(settings)
        elif (namespace, model, before) == (None, None, None):
            count = remove_all(settings.cache_dir, settings.cache_size)
            click.echo(
                "removed a file that could not be read" if count is None else f"removed {count}",
                err=True,
            )
        else:
            count = remove(settings.cache_dir, settings.cache_size, wanted)
            click.echo(f"removed {count}", err=True)
    return 0


@cache.command(name="export")
@click.option("--namespace", help="Only answers of this namespace.")
def export_command(namespace: str | None) -> int:
    """Write stored answers, texts included, as one JSON object a line, oldest first."""
    settings = Settings.from_env()
    with _storage(settings):
        for row in _rows(settings):
            if row.entry is not None and namespace in {None, row.entry.namespace}:
                click.echo(json.dumps(_whole(row, row.entry)))
    return 0


class _NoStorage(click.ClickException):
    exit_code = _NO_STORAGE


@contextmanager
def _storage(settings: Settings) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        msg = f"the cache in {str(settings.cache_dir)!r} cannot be used: {error}"
        raise _NoStorage(msg) from error


def _rows(settings: Settings) -> Iterator[StoredRow]:
    if not exists(settings.cache_dir):
        _say_if_empty(settings)
        return iter(())
    return rows(settings.cache_dir, settings.cache_size)


def _say_if_empty(settings: Settings) -> None:
    click.echo(f"nothing is cached yet in {settings.cache_dir}", err=True)


def _age(text: str) -> timedelta:
    match = _SPAN.fullmatch(text)
    if match is None:
        msg = f"--older-than={text!r} is not an age; a good value is '30d'"
        raise ConfigurationError(msg)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


_ORDERS: Final[dict[str, Callable[[tuple[StoredRow, CachedAnswer]], Any]]] = {
    "newest": lambda pair: pair[1].at,
    "dearest": lambda pair: pair[1].cost or 0,
    "largest": lambda pair: pair[0].size,
}


def _record(row: StoredRow, entry: CachedAnswer) -> Record:
    return {
        "key": row.key,
        "stored_at": entry.at.isoformat(),
        "namespace": _writable(entry.namespace),
        "model": _writable(entry.model),
        "feature": _writable(entry.feature),
        "bytes": row.size,
        "bought_usd": None if entry.cost is None else usd_string(entry.cost),
    }


def _whole(row: StoredRow, entry: CachedAnswer) -> Record:
    usage = entry.usage
    return {
        **_record(row, entry),
        "provider": entry.provider,
        "served": entry.served,
        "usage": None if usage is None else usage.to_counts(),
        "answer": entry.answer,
    }


def _stats_table(records: list[Record], by: str) -> Table:
    return _table(f"Completion cache by {by}", records)


def _list_table(records: list[Record]) -> Table:
    shown = [{**record, "key": record["key"][:_KEY_SHOWN]} for record in records]
    return _table("Stored answers", shown)


def _table(title: str, records: list[Record]) -> Table:
    table = plain_table(title)
    for name in records[0] if records else ():
        table.add_column(name.replace("_", " ").capitalize(), overflow="fold")
    for record in records:
        table.add_row(*(_cell(value) for value in record.values()))
    return table


def _cell(value: object) -> Text:
    # No markup: names come from whoever wrote the file.
    return Text("-" if value in {None, ""} else str(value))


def _writable(text: str) -> str:
    """Return a text without half characters, which no terminal and no file takes."""
    return text.encode("utf-8", "replace").decode()
