"""Holding money before a call: at once, or after waiting for calls in flight to settle."""

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Final

from llmcost_plugins.errors import BudgetExceeded, Refusal
from llmcost_plugins.ledger import Hold, Ledger
from llmcost_plugins.loops import on_event_loop, running_task

_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.05

Owner = tuple[int, int]
"""A thread, and the asyncio task that runs in it (0: none)."""


def current_owner() -> Owner:
    """Identify who runs now."""
    task = running_task()
    return threading.get_ident(), id(task) if task else 0


class Guard:
    """Sets money aside in a ledger, or says why not.

    Args:
        ledger: where.
        hold_wait: how long to wait when only the holds of other calls stand in the way. Waiting
            happens between attempts, never inside the ledger.
        on_warning: called when a hold is granted beyond the limit of a budget that only warns.
    """

    def __init__(
        self,
        ledger: Ledger,
        hold_wait: timedelta,
        on_warning: Callable[[Hold, Refusal], None] = lambda _hold, _warning: None,
    ) -> None:
        self._ledger = ledger
        self._on_warning = on_warning
        self._hold_wait = hold_wait.total_seconds()

    def hold(self, hold: Hold, *, may_wait: Callable[[], bool] = lambda: True) -> None:
        """Hold in all buckets, or raise.

        Never waits on a running event loop: that would block the very calls it waits for.

        Args:
            hold: what to set aside.
            may_wait: asked when there is something to wait for; False when the caller itself holds
                money that it could not settle meanwhile, or has waited already.

        Raises:
            BudgetExceeded: it does not fit.
            LedgerUnavailable: nothing can be held.
        """
        for pause in self._flow(hold, lambda: not on_event_loop() and may_wait()):
            time.sleep(pause)

    async def ahold(self, hold: Hold, *, may_wait: Callable[[], bool] = lambda: True) -> None:
        """Hold like `hold`; waits by awaiting.

        The ledger's verbs run inline: they take tens of microseconds, less than a hop to a thread.
        """
        for pause in self._flow(hold, may_wait):
            await asyncio.sleep(pause)

    def _flow(self, hold: Hold, may_wait: Callable[[], bool]) -> Generator[float, None, None]:
        """Try until granted, refused for good, or the wait is over; yield the pauses between."""
        left, pause, waited = self._hold_wait, _FIRST_PAUSE, False
        while True:
            result = self._ledger.hold(hold)
            for warning in result.warnings:
                self._on_warning(hold, warning)
            refusal = result.refusal
            if refusal is None:
                return
            hopeless = left <= 0 or not refusal.only_holds_stand_in_the_way
            if hopeless or not (waited or may_wait()):
                raise BudgetExceeded(refusal, hold.call.requested, waited=waited)
            pause = min(pause, left)
            yield pause
            waited = True
            left -= pause
            pause = min(pause * 1.5, _LONGEST_PAUSE)
