"""``llmcost report``: who spent what."""

from typing import Final

import click

from llmcost_plugins.cli.options import instant, say_if_empty
from llmcost_plugins.clock import utc_now
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.periods import Period
from llmcost_plugins.report_tables import (
    report_csv,
    report_json,
    report_markdown,
    report_table,
)
from llmcost_plugins.reporter import CostReporter, Report
from llmcost_plugins.reports import REPORT_GROUPS
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import plain_console
from llmcost_plugins.tallies import LABEL
from llmcost_plugins.wording import span_in_words

_FORMS: Final = ("table", "json", "csv", "md")


@click.command()
@click.option(
    "--by",
    default="model",
    show_default=True,
    metavar="GROUPS",
    help=f"What to group by, joined by commas: {', '.join(REPORT_GROUPS)}, tag, label.KEY.",
)
@click.option(
    "--period",
    metavar="PERIOD",
    help="day, week, month …: the current one; mtd, last-month, 2026, 2026-Q4, 2026-11, "
    "2026-11-03; in LLMCOST_TIMEZONE.  [default: month]",
)
@click.option("--since", metavar="DATE", help="Instead of a period: from this day (or time) on.")
@click.option("--until", metavar="DATE", help="Up to before this day (or time).")
@click.option(
    "--detail",
    is_flag=True,
    help="Also tokens by meter, and how many calls fell back; reads every entry of the span.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMS),
    default="table",
    show_default=True,
    help="How to write the data.",
)
def report(  # noqa: PLR0913 - one argument for each option
    by: str, period: str | None, since: str | None, until: str | None, form: str, *, detail: bool
) -> None:
    """Sum what was spent, beside the period before.

    In the currency of LLMCOST_CURRENCY, if that is set.
    """
    if period and (since or until):
        msg = "--period does not go with --since and --until; state the one or the others"
        raise click.UsageError(msg)
    settings = Settings.from_env()
    groups = [group.strip() for group in by.split(",") if group.strip()]
    start, end = instant(since, "--since", settings), instant(until, "--until", settings)
    with open_ledger(settings.ledger, settings.timezone) as store:
        reporter = CostReporter(store, settings.timezone, before_scan=_say_that_it_takes_long)
        if since or until:
            found = reporter.between(start, end, groups, now=utc_now(), detailed=detail)
        else:
            found = reporter.report(groups, period or Period.MONTH, now=utc_now(), detailed=detail)
        say_if_empty(store, settings)
        if store.exists():
            _say_what_is_odd(found)
    _write(found, form, settings)


def _say_that_it_takes_long() -> None:
    click.echo("no sums are kept of this: reading every entry of the span", err=True)


def _say_what_is_odd(found: Report) -> None:
    if not found.rows:
        click.echo("no calls are recorded in this span", err=True)
        return
    for place, one in enumerate(found.by):
        if one not in REPORT_GROUPS and not any(row.group[place] for row in found.rows):
            what = "a tag" if one == "tag" else f"the label {one.removeprefix(LABEL)!r}"
            click.echo(f"no call of this span has {what}", err=True)


def _write(found: Report, form: str, settings: Settings) -> None:
    zone, currency = settings.timezone, settings.currency
    grouped = f" by {', '.join(found.by)}" if found.by else ""
    title = f"Spend{grouped} {span_in_words(found.span, zone)}"
    console = plain_console()
    if form == "table":
        console.print(report_table(found, title, zone, currency))
        return
    # Not through rich: it would wrap and colour what a program reads.
    if form == "md":
        text = report_markdown(found, title, zone, currency)
    else:
        text = (report_json if form == "json" else report_csv)(found, currency)
    console.file.write(f"{text}\n")
