"""``llmcost report --compare-to``: why more was spent than before."""

import click
from rich.console import Console

from llmcost_plugins.cli.options import say_what_no_call_has
from llmcost_plugins.clock import utc_now
from llmcost_plugins.effect_tables import comparison_csv, comparison_json, comparison_table
from llmcost_plugins.effects import Comparison, compare, span_before, spans_to_compare
from llmcost_plugins.periods import Window
from llmcost_plugins.reporter import CostReporter
from llmcost_plugins.settings import Settings
from llmcost_plugins.spans import named_window


def compared(
    reporter: CostReporter, groups: list[str], period: str | Window, other: str
) -> Comparison:
    """Compare a period, or a span that dates state, with *other*.

    Raises:
        ConfigurationError: a period or a group means nothing here.
    """
    now, zone = utc_now(), reporter.zone
    if isinstance(period, str):
        span, before = spans_to_compare(period, other, now, zone)
    elif other == "previous":
        span, before = period, span_before(period, now, zone)
    else:
        span, before = period, named_window(other, now, zone)
    return compare(reporter, span, before, groups)


def comparison_text(found: Comparison, form: str, settings: Settings, console: Console) -> str:
    """Write a comparison in the form asked for."""
    currency = settings.currency
    if form in {"json", "csv"}:
        text = (comparison_json if form == "json" else comparison_csv)(found, currency)
        return f"{text}\n"
    with console.capture() as shown:
        console.print(comparison_table(found, settings.timezone, currency))
    return shown.get()


def say_what_is_odd(found: Comparison) -> None:
    """Say on standard error what makes a comparison say little."""
    total = found.total
    if not found.rows:
        click.echo("no calls are recorded in either span", err=True)
        return
    say_what_no_call_has(found.by, [row.group for row in found.rows])
    if total.before <= 0 < total.now:
        click.echo("nothing was spent before", err=True)
    elif total.now <= 0 < total.before:
        click.echo("nothing was spent in this span", err=True)
