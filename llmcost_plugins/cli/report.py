"""``llmcost report``: who spent what."""

from typing import Final

import click

from llmcost_plugins.cli.options import instant, say_if_empty
from llmcost_plugins.clock import utc_now
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.periods import Period, Window
from llmcost_plugins.report_tables import (
    report_csv,
    report_json,
    report_markdown,
    report_table,
    span_in_words,
)
from llmcost_plugins.reporter import CostReporter, Report
from llmcost_plugins.reports import REPORT_GROUPS
from llmcost_plugins.settings import Settings
from llmcost_plugins.spans import named_window
from llmcost_plugins.tables import plain_console
from llmcost_plugins.tallies import LABEL

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
    "--compare-to",
    "other",
    metavar="PERIOD",
    help="Why it is more than in PERIOD ('previous': the one before): price, volume and mix.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMS),
    default="table",
    show_default=True,
    help="How to write the data.",
)
def report(  # noqa: PLR0913, PLR0917 - one argument for each option
    by: str,
    period: str | None,
    since: str | None,
    until: str | None,
    other: str | None,
    form: str,
    *,
    detail: bool,
) -> None:
    """Sum what was spent, beside the period before.

    In the currency of LLMCOST_CURRENCY, if that is set.
    """
    if period and (since or until):
        msg = "--period does not go with --since and --until; state the one or the others"
        raise click.UsageError(msg)
    if other and (detail or form == "md"):
        msg = "--compare-to goes neither with --detail nor with --format md"
        raise click.UsageError(msg)
    settings = Settings.from_env()
    groups = [group.strip() for group in by.split(",") if group.strip()]
    start, end = instant(since, "--since", settings), instant(until, "--until", settings)
    with open_ledger(settings.ledger, settings.timezone) as store:
        reporter = CostReporter(store, settings.timezone, before_scan=_say_that_it_takes_long)
        if other:
            stated = Window(start, end) if since or until else None
            _compare(reporter, settings, groups, stated or period or Period.MONTH, other, form)
            say_if_empty(store, settings)
            return
        if since or until:
            found = reporter.between(start, end, groups, now=utc_now(), detailed=detail)
        else:
            found = reporter.report(groups, period or Period.MONTH, now=utc_now(), detailed=detail)
        say_if_empty(store, settings)
        if store.exists():
            _say_what_is_odd(found)
    _write(found, form, settings)


def _compare(  # noqa: PLR0913, PLR0917 - what the options say
    reporter: CostReporter,
    settings: Settings,
    groups: list[str],
    period: str | Window,
    other: str,
    form: str,
) -> None:
    from llmcost_plugins.effect_tables import comparison_csv, comparison_json, comparison_table
    from llmcost_plugins.effects import compare, span_before, spans_to_compare

    now, zone = utc_now(), settings.timezone
    if isinstance(period, str):
        span, before = spans_to_compare(period, other, now, zone)
    elif other == "previous":
        span, before = period, span_before(period, now, zone)
    else:
        span, before = period, named_window(other, now, zone)
    found = compare(reporter, span, before, groups)
    if form == "table":
        plain_console().print(comparison_table(found, zone))
        return
    # Not through rich: it would wrap and colour what a program reads.
    click.echo(comparison_json(found) if form == "json" else comparison_csv(found))


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
