"""Options that several commands have."""

from collections.abc import Sequence
from datetime import MAXYEAR, MINYEAR, datetime

import click

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.periods import Window
from llmcost_plugins.reports import REPORT_GROUPS
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import Format
from llmcost_plugins.tallies import LABEL

format_option = click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in Format]),
    default=Format.TABLE.value,
    show_default=True,
    help="How to write the data.",
)


def instant(text: str | None, option: str, settings: Settings) -> datetime | None:
    """Read a date or time that an option gives, in the time zone of the settings.

    Raises:
        ConfigurationError: it is none.
    """
    return None if text is None else given_instant(text, option, settings)


def given_instant(text: str, option: str, settings: Settings) -> datetime:
    """Do what `instant` does with an option that is given."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{option}={text!r} is not a date; a good value is '2026-01-31'"
        raise ConfigurationError(msg) from None
    if not MINYEAR < found.year < MAXYEAR:  # in another time zone it might have no date
        msg = f"{option}={text!r} is too far from now; a good value is '2026-01-31'"
        raise ConfigurationError(msg)
    return found if found.tzinfo else found.replace(tzinfo=settings.timezone)


def stated_span(since: str | None, until: str | None, settings: Settings) -> Window:
    """Read what ``--since`` and ``--until`` give; what is not given has no end.

    Raises:
        ConfigurationError: one of them is no date, or there is nothing between them.
    """
    start, end = instant(since, "--since", settings), instant(until, "--until", settings)
    if start and end and start >= end:
        msg = f"--since={since!r} is not before --until={until!r}: there is nothing between"
        raise ConfigurationError(msg)
    return Window(start, end)


def say_if_empty(store: Ledger, settings: Settings) -> None:
    """Say on standard error that there is no ledger yet, where there is none."""
    if not store.exists():
        click.echo(f"nothing is recorded yet in {settings.ledger}", err=True)


def say_what_no_call_has(by: Sequence[str], groups: Sequence[Sequence[str]]) -> None:
    """Say on standard error which labels that were asked for no call has: a slip of the pen?"""
    for place, one in enumerate(by):
        if one not in REPORT_GROUPS and not any(group[place] for group in groups):
            what = "a tag" if one == "tag" else f"the label {one.removeprefix(LABEL)!r}"
            click.echo(f"no call of this span has {what}", err=True)
