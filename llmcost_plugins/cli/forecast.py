"""``llmcost forecast``: how the period will end, and when each budget runs out."""

from collections.abc import Sequence

import click

from llmcost_plugins.budgets import Budget
from llmcost_plugins.cli.options import format_option, say_if_empty
from llmcost_plugins.clock import utc_now
from llmcost_plugins.forecast import FORECAST_GROUPS, TOP, Forecast, Forecaster, Method
from llmcost_plugins.forecast_tables import forecast_csv, forecast_json, forecast_table
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.limits import Limits
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import Format, plain_console
from llmcost_plugins.wording import span_in_words

_FINDING = 1


@click.command()
@click.option(
    "--by",
    default="model",
    show_default=True,
    metavar="GROUPS",
    help=f"What to group by, joined by commas: {', '.join(FORECAST_GROUPS)}.",
)
@click.option(
    "--period",
    default="month",
    show_default=True,
    metavar="PERIOD",
    help="One that runs: day, week, month, quarter, year; in LLMCOST_TIMEZONE.",
)
@click.option(
    "--top",
    default=TOP,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many groups, and how many budgets.",
)
@format_option
def forecast(by: str, period: str, top: int, form: str) -> int:
    """Say how the period will end, and when each budget runs out.

    With the band in which the truth lies in 80 of 100 cases, or a rough one where too little is
    known for that, and what it rests on. The exit status is 1 if a budget has run out, or is
    expected to before its period ends. In the currency of LLMCOST_CURRENCY, if that is set; budgets
    are in USD.
    """
    settings = Settings.from_env()
    groups = [group.strip() for group in by.split(",") if group.strip()]
    zone = settings.timezone
    with open_ledger(settings.ledger, zone) as store:
        limits = Limits(store, settings.budgets_in_force(), zone)
        forecaster = Forecaster(store, limits, clock=utc_now, zone=zone)
        found, budgets = forecaster.spend(groups, period, top=top), forecaster.budgets(top=top)
        anomalies = forecaster.anomalies()
        say_if_empty(store, settings)
        if store.exists():
            _say_what_is_missing(found[0], forecaster.left_out())
    for one in anomalies:
        click.echo(f"out of the ordinary: {one}", err=True)
    if form == Format.TABLE:
        if found or budgets:
            title = f"Forecast {span_in_words(found[0].span, zone)}"
            table = forecast_table(title, groups, found, budgets, zone, settings.currency)
            plain_console().print(table)
    elif form == Format.JSON:
        # Not through rich: it would wrap and colour what a program reads.
        click.echo(forecast_json(groups, found, budgets, anomalies, settings.currency))
    elif text := forecast_csv(groups, found, budgets, settings.currency):
        click.echo(text)
    return _FINDING if any(one.runs_out_at is not None for one in budgets) else 0


def _say_what_is_missing(total: Forecast, left_out: Sequence[Budget]) -> None:
    if total.unpriced:
        words = "have no known price, and are missing in all amounts"
        click.echo(f"{total.unpriced:,} calls of this period {words}", err=True)
    if total.expected is None:
        click.echo(f"nothing can be said of the end: {total.basis}", err=True)
    elif total.basis.method is Method.IDLE:
        click.echo(f"nothing is expected: {total.basis}", err=True)
    elif total.low is None:
        click.echo(f"as much a day as so far, and no band: {total.basis}", err=True)
    elif not total.basis.is_sure:
        click.echo(f"the band is a rough one, not of 80 %: {total.basis}", err=True)
    if left_out:
        names = ", ".join(f"{one.scope} per {one.per}" for one in left_out)
        words = "no call counts in them yet, or no daily sums are kept of them"
        click.echo(f"nothing can be said of these budgets, {words}: {names}", err=True)
