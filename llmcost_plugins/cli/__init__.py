"""The command ``llmcost``.

Data goes to standard output, messages to standard error. Exit status: 0 ok, 1 a finding (the
demo's sums differ, prices differ or are missing, a call would not fit, the ledger is not sound, an
alert did not arrive, the doctor has found something), 2 wrong use or configuration, 3 the ledger
cannot be used.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import entry_points
from typing import Any, Final

import click
from rich.console import Console

from llmcost_plugins.cli.alerts import alerts
from llmcost_plugins.cli.budgets import budgets
from llmcost_plugins.cli.cache import cache
from llmcost_plugins.cli.doctor import doctor
from llmcost_plugins.cli.ledger import ledger
from llmcost_plugins.cli.options import format_option, instant, say_if_empty
from llmcost_plugins.cli.prices import prices
from llmcost_plugins.cli.records import export_command, import_command
from llmcost_plugins.errors import (
    LedgerUnavailable,
    LLMCostError,
    MissingExtra,
)
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.periods import Period, Window
from llmcost_plugins.reporter import CostReporter
from llmcost_plugins.reports import REPORT_GROUPS
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import (
    Format,
    report_records,
    report_table,
    show,
)
from llmcost_plugins.tracker import utc_now

_WRONG_USE: Final = 2
_NO_STORAGE: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status. Errors of this library are one line each."""
    try:
        result = cli.main(arguments, prog_name="llmcost", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return _NO_STORAGE if error.exit_code == _NO_STORAGE else _WRONG_USE
    except click.Abort:
        click.echo("stopped", err=True)
        return _WRONG_USE
    except LLMCostError as error:
        click.echo(f"error: {error}", err=True)
        return _NO_STORAGE if isinstance(error, LedgerUnavailable) else _WRONG_USE
    return result if isinstance(result, int) else 0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="llmcost-plugins")
def cli() -> None:
    """Cost control for LLM applications: what was spent, by whom, and what is left."""


cli.add_command(alerts)
cli.add_command(budgets)
cli.add_command(cache)
cli.add_command(doctor)
cli.add_command(prices)
cli.add_command(ledger)
ledger.add_command(import_command)
cli.add_command(export_command)


@cli.command()
@click.option(
    "--live",
    "model",
    metavar="MODEL",
    help="Make one real call to this OpenAI model (OPENAI_API_KEY must be set).",
)
def demo(model: str | None) -> int:
    """Show the main job on a simulated provider: record, hold, fall back, cache, report."""
    return _find_demo()(Console(), model)


@cli.command()
@click.option(
    "--by",
    default="model",
    show_default=True,
    metavar="GROUPS",
    help=f"What to group by, joined by commas: {', '.join(REPORT_GROUPS)}, hour, tag, label.KEY.",
)
@click.option(
    "--period",
    default=Period.MONTH.value,
    show_default=True,
    metavar="PERIOD",
    help="day, week, month …: the current one; mtd, last-month, 2026, 2026-Q4, 2026-11, "
    "2026-11-03; in LLMCOST_TIMEZONE.",
)
@click.option("--since", metavar="DATE", help="Instead of a period: from this day (or time) on.")
@click.option("--until", metavar="DATE", help="Up to before this day (or time).")
@format_option
def report(by: str, period: str, since: str | None, until: str | None, form: str) -> None:
    """Sum what was spent."""
    settings = Settings.from_env()
    groups = [group.strip() for group in by.split(",") if group.strip()]
    start, end = instant(since, "--since", settings), instant(until, "--until", settings)
    with open_ledger(settings.ledger, settings.timezone) as store:
        reporter = CostReporter(store, settings.timezone)
        if since or until:
            found = reporter.over(Window(start, end), groups)
        else:
            found = reporter.report(groups, period, now=utc_now())
        say_if_empty(store, settings)
    title = f"Spend by {', '.join(groups)}{_span(found.span.start, found.span.end, settings)}"
    if found.scanned:
        click.echo("no sums are kept of these groups: every entry of the span was read", err=True)
    show(
        report_records(found.rows, groups),
        lambda: report_table(found.rows, groups, title, found.total, found.previous),
        Format(form),
        Console(),
    )


def _span(start: datetime | None, end: datetime | None, settings: Settings) -> str:
    def day(instant: datetime) -> str:
        text = instant.astimezone(settings.timezone).strftime("%Y-%m-%d %H:%M")
        return text.removesuffix(" 00:00")

    since = f" since {day(start)}" if start else ""
    until = f" until {day(end)}" if end else ""
    return f"{since}{until} ({settings.timezone})" if since or until else ""


def _find_demo() -> Callable[[Console, str | None], int]:
    # The core knows no framework: an adapter that is installed brings the demo.
    for entry in entry_points(group="llmcost.demo"):
        try:
            found: Any = entry.load()
        except (MissingExtra, ModuleNotFoundError) as error:
            msg = f"the demo needs more packages ({error}); pip install 'llmcost-plugins[demo]'"
            raise MissingExtra(msg) from error
        return found  # type: ignore[no-any-return]  # the group's contract
    raise MissingExtra.of("demo", "llmcost_langchain")  # noqa: EM101 - names, not a message
