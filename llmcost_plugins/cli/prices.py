"""The commands ``llmcost prices``."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from llmcost_plugins.cli.lazy_group import Group
from llmcost_plugins.cli.options import format_option
from llmcost_plugins.cli.price_check import price_findings
from llmcost_plugins.cli.price_records import (
    Listed,
    View,
    difference_records,
    finding_records,
    list_records,
    view_record,
    view_records,
)
from llmcost_plugins.cli.price_tables import (
    difference_tables,
    finding_table,
    list_table,
    view_tables,
)
from llmcost_plugins.clock import utc_now
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.pricing import Catalog, Match, Prices, Resolution
from llmcost_plugins.pricing.comparing import compiled, differences
from llmcost_plugins.pricing.entries import compile_prices
from llmcost_plugins.pricing.fetching import Told, fetch
from llmcost_plugins.pricing.loading import newest_prices
from llmcost_plugins.pricing.maps import PriceMap
from llmcost_plugins.pricing.near import did_you_mean, hint, near_names
from llmcost_plugins.pricing.providers import owner, provider_of
from llmcost_plugins.pricing.sources import (
    Source,
    fetched_map,
    installed_map,
    installed_version,
    load_map,
    packaged_snapshot,
)
from llmcost_plugins.pricing.update import DEFAULT_URL, Examined, examine, store
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import Format, Record, plain_console, write_csv, write_json

_FOUND: Final = 1
_DOUBTS_SHOWN: Final = 20
_ABSENT: Final = {
    "installed": "no litellm is installed whose price map can be read; install it, or name a file",
    "fetched": "no price map was fetched yet; run 'llmcost prices update'",
}


@click.group(cls=Group)
def prices() -> None:
    """Look at unit prices, compare them, and fetch newer ones."""


@prices.command()
@click.argument("model")
@click.option("--provider", metavar="P", help="Who serves it, e.g. azure.")
@format_option
def show(model: str, provider: str | None, form: str) -> int:
    """Show all prices of MODEL, when each holds, and where they come from."""
    catalog = _catalog(Settings.from_env())
    found = catalog.resolve(model, provider)
    if found.prices is None:
        meant = () if model in catalog.models else found.candidates or _near(model, catalog)
        why = f"{found.reason}{did_you_mean(meant)}"
        click.echo(f"no price is known for {model!r}: {why}", err=True)
        return _FOUND
    if found.match is Match.STAND_IN and provider and (unknown := _no_provider(provider, catalog)):
        click.echo(unknown, err=True)
    view = _view(found, found.prices, catalog)
    if form == Format.JSON:
        click.echo(json.dumps(view_record(view), indent=2, ensure_ascii=False))
    else:
        _write(form, view_records(view), lambda: view_tables(view))
    return 0


def _no_provider(provider: str, catalog: Catalog) -> str:
    """Say that the price map has none of that name; nothing if it has."""
    wanted = provider_of(provider) or provider
    known = {owner(label) for label in PriceMap.of(catalog.models).labels()}
    if wanted in known:
        return ""
    return f"the price map has no provider {provider!r}{hint(wanted, known)}"


@prices.command("list")
@click.option("--provider", metavar="P", help="Only models of this provider.")
@click.option("--search", metavar="TEXT", default="", help="Only names that contain this.")
@click.option("--all", "every", is_flag=True, help="Also retired models and those without a price.")
@format_option
def list_(provider: str | None, search: str, every: bool, form: str) -> int:
    """List the models of the price map."""
    catalog = _catalog(Settings.from_env())
    wanted = provider_of(provider) or provider
    if provider is not None and (unknown := _no_provider(provider, catalog)):
        raise ConfigurationError(unknown)
    listed = [
        item
        for item in _listed(catalog, search.casefold())
        if wanted in {None, item.provider}
        and (every or (item.prices is not None and not item.prices.retired))
    ]
    if not listed:
        click.echo("the price map has no such model", err=True)
    _write(form, list_records(listed), lambda: list_table(listed))
    return 0 if listed else _FOUND


@prices.command()
@click.argument("old")
@click.argument("new")
@format_option
def diff(old: str, new: str, form: str) -> int:
    """Show what differs between the price maps OLD and NEW.

    Each is a file in LiteLLM's format, or one of the words snapshot, installed, fetched. Models
    that are retired are left out.
    """
    settings = Settings.from_env()
    found = differences(*(_current_prices(_named(name, settings)) for name in (old, new)))
    if not found:
        click.echo("no price differs", err=True)
    _write(form, difference_records(found), lambda: difference_tables(found))
    return _FOUND if found else 0


@prices.command()
@click.option("--url", default=DEFAULT_URL, show_default=True, help="Where to fetch it.")
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead: a file in LiteLLM's format.",
)
@click.option("--accept", is_flag=True, help="Use it in spite of prices that look wrong.")
def update(url: str, path: Path | None, accept: bool) -> int:
    """Fetch LiteLLM's price map and use it from now on, if it looks right."""
    target = Settings.from_env().fetched_prices
    if path is None:
        with _progress() as told:
            content = fetch(url, told=told)
    else:
        content = path.read_bytes()
    examined = examine(content, _in_force(target))
    if not _is_used(examined, accept=accept):
        return _FOUND
    origin = url if path is None else str(path.resolve())
    store(target, examined, origin, utc_now())
    click.echo(
        f"{len(examined.models):,} models from {origin}, {examined.priced:,} of them with a "
        f"price, are in {target}; a process uses them from its next start on"
    )
    return 0


@prices.command()
@format_option
def check(form: str) -> int:
    """Show models of the ledger that have no price, or prices that look wrong."""
    settings = Settings.from_env()
    catalog = _catalog(settings)
    with open_ledger(settings.ledger, settings.timezone) as ledger:
        is_there = ledger.exists()
        findings = list(price_findings(ledger, catalog)) if is_there else []
    if not is_there:
        click.echo(f"nothing is recorded yet in {settings.ledger}", err=True)
    elif not findings:
        click.echo("all models in the ledger have prices that look right", err=True)
    _write(form, finding_records(findings), lambda: finding_table(findings))
    return _FOUND if findings else 0


def _catalog(settings: Settings) -> Catalog:
    return Catalog.load(fetched=settings.fetched_prices, own=settings.prices)


def _near(model: str, catalog: Catalog) -> tuple[str, ...]:
    return tuple(near_names(model, catalog.models))


def _view(found: Resolution, prices: Prices, catalog: Catalog) -> View:
    entry = catalog.models.get(found.model, {})
    return View(
        name=found.name,
        provider=found.provider,
        match=found.match.value,
        rule=found.rule,
        candidates=found.candidates,
        alias_of=str(entry.get("alias_of", "")),
        prices=prices,
        now=utc_now(),
        fingerprint=catalog.fingerprint,
        sources=catalog.sources,
    )


def _listed(catalog: Catalog, search: str) -> Iterator[Listed]:
    for name in sorted(catalog.models):
        if search in name.casefold():
            entry = catalog.models[name]
            provider = owner(str(entry.get("litellm_provider", "")))
            mode, found = str(entry.get("mode", "")), compile_prices(name, entry)
            if isinstance(found, Prices):
                yield Listed(name, provider, mode, found)
            else:
                yield Listed(name, provider, mode, None, found)


def _named(name: str, settings: Settings) -> Source:
    found: Source | None = None
    if name == "snapshot":
        found = packaged_snapshot()
    elif name == "installed":
        path = installed_map()
        found = load_map(path, installed_version(path)) if path else None
    elif name == "fetched":
        found = fetched_map(settings.fetched_prices)
    elif Path(name).is_file():
        found = load_map(Path(name), ())
    if found is None:
        msg = _ABSENT.get(name, f"{name!r} is no price map of LiteLLM: JSON, one object a model")
        raise ConfigurationError(msg)
    return found


def _current_prices(source: Source) -> dict[str, Prices]:
    models = PriceMap.of(source.models)
    return compiled(models, models.current())


def _in_force(target: Path) -> Source:
    try:
        return newest_prices(fetched=target)
    except ConfigurationError as error:
        # What cannot be read is about to be replaced.
        click.echo(f"{error}", err=True)
        return newest_prices()


def _is_used(examined: Examined, *, accept: bool) -> bool:
    for line in examined.problems or examined.doubts[:_DOUBTS_SHOWN]:
        click.echo(line, err=True)
    if examined.problems:
        click.echo("not used", err=True)
        return False
    more = len(examined.doubts) - _DOUBTS_SHOWN
    if more > 0:
        click.echo(f"and {more:,} more", err=True)
    if examined.doubts and not accept:
        click.echo("not used; if these prices are right, say --accept", err=True)
        return False
    return True


@contextmanager
def _progress() -> Iterator[Told]:
    console = plain_console(stderr=True)
    if not console.is_terminal:
        # Not by disable=True: rich 13 then still ends with an empty line.
        yield lambda _done, _size: None
        return
    columns = (TextColumn("fetching prices"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, size: bar.update(task, completed=done, total=size)


def _write(form: str, records: Iterable[Record], table: Callable[[], RenderableType]) -> None:
    """Write data to standard output in the form asked for; an empty table not at all."""
    rows = list(records)
    if form == Format.JSON:
        click.echo(write_json(rows))
    elif rows and form == Format.CSV:
        click.echo(write_csv(rows))
    elif rows:
        plain_console().print(table())
