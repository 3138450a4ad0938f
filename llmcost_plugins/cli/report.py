"""``llmcost report``: who spent what."""

from typing import Final

import click
from rich.console import Console

from llmcost_plugins.cli.options import say_if_empty, say_what_no_call_has, stated_span
from llmcost_plugins.cli.output import write_as_utf8
from llmcost_plugins.clock import utc_now
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.limits import Limits
from llmcost_plugins.overview import DEFAULT_GROUPS, overview
from llmcost_plugins.periods import Period
from llmcost_plugins.report_tables import (
    report_csv,
    report_json,
    report_markdown,
    report_table,
)
from llmcost_plugins.reporter import CostReporter, Report
from llmcost_plugins.reports import REPORT_GROUPS, budget_statuses
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import plain_console
from llmcost_plugins.wording import span_in_words

_FORMS: Final = ("table", "json", "csv", "md", "html")


@click.command()
@click.option(
    "--by",
    metavar="GROUPS",
    help=f"What to group by, joined by commas: {', '.join(REPORT_GROUPS)}, tag, label.KEY. "
    f"A page has a table for each.  [default: model; of a page {', '.join(DEFAULT_GROUPS)}]",
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
    help="How to write the data; html is a page with charts, for -o FILE.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write there, readable by you only, in place of what is there; - is standard output.",
)
def report(  # noqa: PLR0913, PLR0917 - one argument for each option
    by: str | None,
    period: str | None,
    since: str | None,
    until: str | None,
    other: str | None,
    form: str,
    *,
    output: str | None,
    detail: bool,
) -> None:
    """Sum what was spent, beside the period before.

    In the currency of LLMCOST_CURRENCY, if that is set.
    """
    is_page = form == "html"
    _check(form, period, since or until, other, output, detail=detail)
    settings = Settings.from_env()
    groups = _groups(by, is_page=is_page)
    span = stated_span(since, until, settings)
    with open_ledger(settings.ledger, settings.timezone) as store:
        reporter = CostReporter(store, settings.timezone, before_scan=_say_that_it_takes_long)
        if other is not None:
            from llmcost_plugins.cli.comparing import compared, comparison_text, say_what_is_odd

            asked = span if since or until else _named(period)
            comparison = compared(reporter, groups, asked, other)
            say_if_empty(store, settings)
            if store.exists():
                say_what_is_odd(comparison)
            console = plain_console(to_text=output is not None)
            _write(comparison_text(comparison, form, settings, console), output)
            return
        first = [] if is_page else groups
        if since or until:
            found = reporter.between(span.start, span.end, first, now=utc_now(), detailed=detail)
        else:
            found = reporter.report(first, _named(period), now=utc_now(), detailed=detail)
        say_if_empty(store, settings)
        if is_page:
            text = _page(reporter, found, groups, store, settings)
        else:
            if store.exists():
                _say_what_is_odd(found)
            text = _text(found, form, settings, plain_console(to_text=output is not None))
    if is_page and output == "-":
        write_as_utf8(text)
    else:
        _write(text, output)


def _check(  # noqa: PLR0913 - what the options say
    form: str,
    period: str | None,
    dates: str | None,
    other: str | None,
    output: str | None,
    *,
    detail: bool,
) -> None:
    msg = ""
    if period and dates:
        msg = "--period does not go with --since and --until; state the one or the others"
    elif other is not None and (detail or form in {"md", "html"}):
        msg = "--compare-to goes neither with --detail nor with --format md or html"
    elif form == "html" and detail:
        msg = "--detail does not go with --format html; it goes with table, md, json and csv"
    elif form == "html" and not output:
        msg = "--format html needs -o FILE, such as -o report.html (or -o - for standard output)"
    elif output == "":
        msg = "-o '' names no file; a good value is report.html, or - for standard output"
    if msg:
        raise click.UsageError(msg)


def _named(period: str | None) -> str:
    return Period.MONTH if period is None else period


def _groups(by: str | None, *, is_page: bool) -> list[str]:
    if by is None:
        return list(DEFAULT_GROUPS) if is_page else ["model"]
    return [group.strip() for group in by.split(",") if group.strip()]


def _page(
    reporter: CostReporter, found: Report, by: list[str], store: Ledger, settings: Settings
) -> str:
    from llmcost_plugins.forecast import Forecaster
    from llmcost_plugins.page import report_page

    now = utc_now()
    limits = Limits(store, settings.budgets_in_force(), settings.timezone)
    budgets = budget_statuses(store, limits.book(now).budgets, now, settings.timezone)
    forecaster = Forecaster(store, limits, clock=lambda: now, zone=settings.timezone)
    ahead = forecaster.rest_of(found.span)
    closer = overview(reporter, found, by, now=now, budgets=budgets, forecast=ahead)
    if store.exists():
        for part in closer.groups if closer.models.rows else [closer.models]:
            _say_what_is_odd(part)
    return report_page(closer, settings.currency)


def _say_that_it_takes_long() -> None:
    click.echo("no sums are kept of this: reading every entry of the span", err=True)


def _say_what_is_odd(found: Report) -> None:
    if not found.rows:
        click.echo("no calls are recorded in this span", err=True)
        return
    say_what_no_call_has(found.by, [row.group for row in found.rows])


def _text(found: Report, form: str, settings: Settings, console: Console) -> str:
    zone, currency = settings.timezone, settings.currency
    if form in {"json", "csv"}:
        text = (report_json if form == "json" else report_csv)(found, currency)
        return f"{text}\n"
    grouped = f" by {', '.join(found.by)}" if found.by else ""
    title = f"Spend{grouped} {span_in_words(found.span, zone)}"
    if form == "md":
        return f"{report_markdown(found, title, zone, currency)}\n"
    with console.capture() as shown:
        console.print(report_table(found, title, zone, currency))
    return shown.get()


def _write(text: str, output: str | None) -> None:
    if output is None or output == "-":
        # Not through rich: it would wrap and colour what a program reads.
        plain_console().file.write(text)
        return
    from llmcost_plugins.page import write_page

    write_page(output, text)
    click.echo(f"written to {output}", err=True)
