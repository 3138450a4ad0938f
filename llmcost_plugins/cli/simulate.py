"""``llmcost simulate``: what would have been spent under other models, rules or prices."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from llmcost_plugins.cli.options import format_option, instant, say_if_empty
from llmcost_plugins.clock import utc_now
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.periods import Window
from llmcost_plugins.pricing import Catalog
from llmcost_plugins.pricing.catalog import shared_catalog
from llmcost_plugins.rule_files import read_rules
from llmcost_plugins.settings import Settings
from llmcost_plugins.simulate import (
    Scenario,
    Simulation,
    other_models,
    other_prices,
    other_rules,
    simulate,
)
from llmcost_plugins.simulation_tables import simulation_csv, simulation_json, simulation_table
from llmcost_plugins.spans import named_window
from llmcost_plugins.tables import Format, plain_console
from llmcost_plugins.wording import span_in_words

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(name="simulate")
@click.option("--rules", type=_FILE, help="A file of rules, as ModelSelector.from_toml reads it.")
@click.option(
    "--model",
    "swaps",
    multiple=True,
    metavar="A=B",
    help="Ask B instead of A; may be given several times.",
)
@click.option("--prices", type=_FILE, help="A file of prices, as LLMCOST_PRICES reads it.")
@click.option("--period", metavar="PERIOD", help="As of llmcost report.  [default: month]")
@click.option("--since", metavar="DATE", help="Instead of a period: from this day (or time) on.")
@click.option("--until", metavar="DATE", help="Up to before this day (or time).")
@format_option
def simulate_command(  # noqa: PLR0913, PLR0917 - one argument for each option
    rules: Path | None,
    swaps: tuple[str, ...],
    prices: Path | None,
    period: str | None,
    since: str | None,
    until: str | None,
    form: str,
) -> None:
    """Say what the recorded calls would have cost with other rules, models or prices.

    By model and feature, with the same requests and the same tokens: another model may answer
    otherwise. Calls that cannot be priced so are counted apart. Changes nothing.
    """
    if sum(map(bool, (rules, swaps, prices))) != 1:
        msg = "state one of --rules FILE, --model A=B (also several times), --prices FILE"
        raise click.UsageError(msg)
    if period and (since or until):
        msg = "--period does not go with --since and --until; state the one or the others"
        raise click.UsageError(msg)
    settings = Settings.from_env()
    span = Window(instant(since, "--since", settings), instant(until, "--until", settings))
    if not (since or until):
        span = named_window(period or "month", utc_now(), settings.timezone)
    scenario = _scenario(settings, rules, swaps, prices)
    with open_ledger(settings.ledger, settings.timezone) as store:
        with _progress(store, span) as advance:
            found = simulate(store, scenario, since=span.start, until=span.end, progress=advance)
        say_if_empty(store, settings)
        if store.exists():
            _say_what_is_odd(found)
    _write(found, Format(form), f"What if {span_in_words(span, settings.timezone)}")


def _scenario(
    settings: Settings, rules: Path | None, swaps: Sequence[str], prices: Path | None
) -> Scenario:
    if prices is not None:
        return other_prices(Catalog.load(fetched=settings.fetched_prices, own=prices))
    catalog = shared_catalog(settings.fetched_prices, settings.prices)
    if rules is None:
        return other_models(catalog, dict(map(_swap, swaps)))
    try:
        return other_rules(catalog, read_rules(rules))
    except ConfigurationError as error:
        where = repr(str(rules))
        msg = str(error) if where in str(error) else f"{where}: {error}"
        raise ConfigurationError(msg) from None


def _swap(text: str) -> tuple[str, str]:
    model, _, instead = (part.strip() for part in text.partition("="))
    if not model or not instead:
        msg = f"--model={text!r} names no two models; a good value is 'gpt-4o=gpt-4o-mini'"
        raise ConfigurationError(msg)
    return model, instead


@contextmanager
def _progress(store: Ledger, span: Window) -> Iterator[Callable[[int], object]]:
    """Show on a terminal how far the reading is, on standard error."""
    console = plain_console(stderr=True)
    if not console.is_terminal or not store.exists():
        yield lambda _: None
        return
    from rich.progress import Progress

    totals = store.totals((), since=span.start, until=span.end)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("reading", total=max(1, sum(one.calls for one in totals)))
        yield lambda count: progress.advance(task, count)


def _say_what_is_odd(found: Simulation) -> None:
    if not found.calls and not found.unpriced:
        click.echo("no calls are recorded in this span", err=True)
    elif all(row.model == row.instead and not row.change for row in found.rows):
        click.echo("no call of this span would have cost another amount", err=True)


def _write(found: Simulation, form: Format, title: str) -> None:
    if form is Format.TABLE:
        plain_console().print(simulation_table(found, title))
        return
    # Not through rich: it would wrap and colour what a program reads.
    click.echo(simulation_json(found) if form is Format.JSON else simulation_csv(found))
