"""``llmcost simulate``: what would have been spent under other models, rules or prices."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from llmcost_plugins.cli.options import format_option, say_if_empty, stated_span
from llmcost_plugins.clock import utc_now
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.periods import Window
from llmcost_plugins.pricing import Catalog
from llmcost_plugins.pricing.catalog import shared_catalog
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.reporter import CostReporter, Report
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
    otherwise. Calls that cannot be priced so are counted apart. Changes nothing. In the currency of
    LLMCOST_CURRENCY, if that is set.
    """
    if sum(map(bool, (rules, swaps, prices))) != 1:
        msg = "state one of --rules FILE, --model A=B (also several times), --prices FILE"
        raise click.UsageError(msg)
    if period and (since or until):
        msg = "--period does not go with --since and --until; state the one or the others"
        raise click.UsageError(msg)
    settings = Settings.from_env()
    span = stated_span(since, until, settings)
    if not (since or until):
        span = named_window("month" if period is None else period, utc_now(), settings.timezone)
    swapped = _swapped(swaps)
    scenario = _scenario(settings, rules, swapped, prices)
    with open_ledger(settings.ledger, settings.timezone) as store:
        with _progress(store, span) as advance:
            found = simulate(store, scenario, since=span.start, until=span.end, progress=advance)
        say_if_empty(store, settings)
        if store.exists():
            recorded = CostReporter(store, settings.timezone).over(span, ["model"])
            _say_what_is_odd(found, recorded, _not_asked(settings, swapped, recorded))
    title = f"What if {span_in_words(span, settings.timezone)}"
    _write(found, Format(form), title, settings.currency)


def _scenario(
    settings: Settings, rules: Path | None, swapped: Mapping[str, str], prices: Path | None
) -> Scenario:
    if prices is not None:
        return other_prices(Catalog.load(fetched=settings.fetched_prices, own=prices))
    catalog = shared_catalog(settings.fetched_prices, settings.prices)
    if rules is None:
        return other_models(catalog, swapped)
    try:
        return other_rules(catalog, read_rules(rules))
    except ConfigurationError as error:
        where = repr(str(rules))
        msg = str(error) if where in str(error) else f"{where}: {error}"
        raise ConfigurationError(msg) from None


def _swapped(swaps: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in swaps:
        model, _, instead = (part.strip() for part in text.partition("="))
        if not model or not instead:
            msg = f"--model={text!r} names no two models; a good value is 'gpt-4o=gpt-4o-mini'"
            raise ConfigurationError(msg)
        if model in found:
            msg = f"--model={text!r}: {model!r} is to be replaced twice; state it once"
            raise ConfigurationError(msg)
        found[model] = instead
    return found


def _not_asked(settings: Settings, swapped: Mapping[str, str], recorded: Report) -> list[str]:
    """Return the models that were to be replaced and that no call has asked, as they were named."""
    if not swapped:  # other prices and rules need no look at these
        return []
    known = {row.group[0] for row in recorded.rows}
    catalog = shared_catalog(settings.fetched_prices, settings.prices)
    return [model for model in swapped if catalog.resolve(model).model not in known]


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


def _say_what_is_odd(found: Simulation, recorded: Report, not_asked: Sequence[str]) -> None:
    if not found.calls and not found.unpriced:
        click.echo("no calls are recorded in this span", err=True)
        return
    if unpriced := recorded.total.unpriced:
        words = "recorded without a price, and missing in what was spent"
        click.echo(f"{unpriced:,} of these calls are {words}", err=True)
    for model in not_asked:
        click.echo(f"no call of this span has asked {model!r}", err=True)
    if not found.rows:
        click.echo("no call of this span can be priced so", err=True)
    elif not (not_asked or found.unpriced) and all(
        row.model == row.instead and not row.change for row in found.rows
    ):
        click.echo("no call of this span would have cost another amount", err=True)


def _write(found: Simulation, form: Format, title: str, currency: Currency | None) -> None:
    if form is Format.TABLE:
        plain_console().print(simulation_table(found, title, currency))
        return
    write = simulation_json if form is Format.JSON else simulation_csv
    # Not through rich: it would wrap and colour what a program reads.
    click.echo(write(found, currency))
