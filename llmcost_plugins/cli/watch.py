"""``llmcost watch``: what happens right now, in place."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click
from rich.console import Console
from rich.live import Live as Screen

from llmcost_plugins.cli.options import say_if_empty
from llmcost_plugins.clock import utc_now
from llmcost_plugins.errors import LedgerUnavailable
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.limits import Limits
from llmcost_plugins.live import Live, LiveWatch
from llmcost_plugins.live_tables import LiveView
from llmcost_plugins.settings import Settings
from llmcost_plugins.tables import plain_console

_SHORTEST: Final = 0.1
_LONGEST: Final = 3600
_ATTENTIVE: Final = 0.1  # seconds: so long at most goes on what was told to end


@click.command()
@click.option(
    "--interval",
    type=float,
    default=2,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait between two looks.",
)
@click.option("--once", is_flag=True, help="Look once; so it does where there is no terminal.")
def watch(interval: float, *, once: bool) -> None:
    """Show what happens right now, of all processes, until Ctrl-C.

    Spend by the hour, budgets, the dearest features, the last calls and refusals. Writes nothing to
    the ledger.
    """
    if not _SHORTEST <= interval <= _LONGEST:
        msg = f"--interval={interval:g} is none; a good value is 2 ({_SHORTEST} to {_LONGEST})"
        raise click.UsageError(msg)
    settings = Settings.from_env()
    with open_ledger(settings.ledger, settings.timezone) as store:
        limits = Limits(store, settings.budgets_in_force(), settings.timezone)
        watching = LiveWatch(store, limits, settings.timezone)
        console = plain_console()
        if once or not console.is_terminal or console.is_dumb_terminal:
            say_if_empty(store, settings)
            found = watching.look(utc_now())
            console.print(LiveView(found, settings.timezone, settings.currency, whole=True))
            return
        _follow(console, _Picture(watching, store, settings).taken, interval)


class _Picture:
    """Looks, and shows the last look with the reason where there can be none now."""

    def __init__(self, watching: LiveWatch, store: Ledger, settings: Settings) -> None:
        self._watching = watching
        self._store = store
        self._settings = settings
        self._found: Live | None = None

    def taken(self) -> LiveView:
        message = ""
        try:
            self._found = self._watching.look(utc_now())
            if not self._store.exists():
                message = f"nothing is recorded yet in {self._settings.ledger}"
        except LedgerUnavailable as error:
            if self._found is None:
                raise
            message = str(error)
        zone, currency = self._settings.timezone, self._settings.currency
        return LiveView(self._found, zone, currency, message=message)


def _follow(console: Console, taken: Callable[[], LiveView], interval: float) -> None:
    with _told_to_end() as told, Screen(console=console, screen=True, auto_refresh=False) as screen:
        while not told:
            screen.update(taken(), refresh=True)
            until = time.monotonic() + interval
            while not told and (left := until - time.monotonic()) > 0:
                time.sleep(min(left, _ATTENTIVE))


@contextmanager
def _told_to_end() -> Iterator[list[int]]:
    """Give a list that is no longer empty once the process is told to end.

    Not by `KeyboardInterrupt`: in the middle of drawing it would leave the terminal in disorder.
    """
    told: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    former = [signal.signal(one, lambda number, _frame: told.append(number)) for one in signals]
    try:
        yield told
    finally:
        for one, handler in zip(signals, former, strict=True):
            signal.signal(one, handler)
