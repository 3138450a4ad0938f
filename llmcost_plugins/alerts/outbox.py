"""Delivers the alerts that wait in the ledger, off the path of the calls.

An alert is put into the ledger by the very step that claims it, so it outlives its process: any
process with a webhook delivers what is due. One tries at a time; a try that is not heard of again
is repeated by whoever comes next, so an alert may arrive twice, under the same key.
"""

import atexit
import json
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from llmcost_plugins.alerts.events import BudgetEvent
from llmcost_plugins.alerts.webhook import NotDelivered, Webhook
from llmcost_plugins.errors import LedgerUnavailable
from llmcost_plugins.ledger import Alert, Ledger
from llmcost_plugins.money import count_string

_log: Final = logging.getLogger("llmcost_plugins")
KEPT_TRYING: Final = timedelta(days=3)
"""Older alerts stay in the ledger, but only `flush` is asked to send them."""
_FIRST_PAUSE: Final = timedelta(seconds=2)
_LONGEST_PAUSE: Final = timedelta(hours=1)
_MARGIN: Final = timedelta(seconds=30)
_LOOK_EVERY: Final = timedelta(seconds=30)
_LONGEST_NAP: Final = 30.0  # seconds: another process may have put an alert there


def payload_of(event: BudgetEvent) -> str:
    """Write an event as the JSON object that is sent; it has nothing of a prompt in it."""

    def amount(count: int) -> str:
        return count_string(count, event.unit)

    facts: dict[str, Any] = {
        "version": 1,
        "kind": event.kind.value,
        "scope": event.scope,
        "period": event.period,
        "unit": event.unit.value,
        "limit": amount(event.limit),
        "spent": amount(event.spent),
        "threshold": None if event.threshold is None else str(event.threshold),
        "projected": None if event.projected is None else amount(event.projected),
        "model": event.model,
        "at": event.at.isoformat(),
        "text": str(event),
    }
    return json.dumps(facts, ensure_ascii=False)


class Outbox:
    """Sends the alerts that wait in a ledger to a webhook.

    A thread runs while some wait and this process has had a reason to look; it ends when none does.

    Args:
        ledger: where they wait.
        webhook: where they go.
        clock: returns the current aware instant.
    """

    def __init__(self, ledger: Ledger, webhook: Webhook, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._webhook = webhook
        self._clock = clock
        self._here = _Here()
        self._look_at: datetime | None = None
        _flush_at_exit(self)

    def look(self, now: datetime) -> None:
        """Start delivering if an alert waits, of whichever process; asks the ledger now and then.

        Raises:
            LedgerUnavailable: it cannot be read.
        """
        if self._look_at is not None and now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY
        if self._ledger.next_alert(now - KEPT_TRYING) is not None:
            self.wake()

    def wake(self) -> None:
        """Start delivering what is due; returns at once."""
        here = self._of_this_process()
        with here.lock:
            here.signal.set()
            if here.thread is None:
                here.stopped = False
                here.thread = threading.Thread(
                    target=self._run, args=(here,), name="llmcost-alerts", daemon=True
                )
                try:
                    here.thread.start()
                except RuntimeError:  # no thread is to be had, as at the end of the interpreter
                    here.thread = None
                    _log.warning("an alert waits in the ledger for another process", exc_info=True)

    def deliver(self, *, since: datetime | None = None, within: float | None = None) -> bool:
        """Send what is due, in this thread; return whether all of it has arrived.

        Args:
            since: leaves out older alerts.
            within: seconds after which no other try is begun.

        Raises:
            LedgerUnavailable: the alerts cannot be read, or not noted as sent.
        """
        end = None if within is None else time.monotonic() + within
        all_arrived = True
        while end is None or time.monotonic() < end:
            now = self._clock()
            # Longer than a try can take: only a process that died leaves it to the next.
            lease = now + self._webhook.timeout * 2 + _MARGIN
            alert = self._ledger.claim_alert(now, lease, since=since)
            if alert is None:
                return all_arrived
            all_arrived = self._try(alert, now) and all_arrived
        return False

    def close(self) -> None:
        """Send what is due, for as long as one try may take; then leave the rest to others."""
        here = self._of_this_process()
        with here.lock:
            here.stopped = True
            here.signal.set()
            thread = here.thread
        patience = self._webhook.timeout.total_seconds()
        began = time.monotonic()
        if thread is not None:
            thread.join(patience)
        try:
            # Not where there was never a ledger: closing makes none.
            if self._ledger.exists():
                left = patience - (time.monotonic() - began)
                self.deliver(since=self._clock() - KEPT_TRYING, within=left)
        except LedgerUnavailable:
            _log.warning("alerts wait in the ledger, which cannot be used", exc_info=True)

    def _try(self, alert: Alert, now: datetime) -> bool:
        try:
            self._webhook.send(f"{alert.bucket}|{alert.threshold}", alert.payload, now)
        except NotDelivered as error:
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(alert.tries - 1, 20))
            self._ledger.alert_failed(alert, self._clock() + pause, str(error))
            if alert.tries == 1:  # once, or a webhook that is down would fill the log
                _log.warning("an alert could not be sent and is tried again: %s", error)
            return False
        self._ledger.alert_sent(alert, self._clock())
        return True

    def _run(self, here: "_Here") -> None:
        while True:
            here.signal.clear()
            try:
                self.deliver(since=self._clock() - KEPT_TRYING)
                nap = self._nap()
            except Exception:  # noqa: BLE001 - nobody hears it here; what waits is tried again
                _log.warning("alerts could not be delivered", exc_info=True)
                nap = _LONGEST_NAP
            with here.lock:
                if here.stopped or (nap is None and not here.signal.is_set()):
                    here.thread = None
                    return
            here.signal.wait(nap)

    def _nap(self) -> float | None:
        """Return the seconds until something is due; `None` when nothing waits."""
        now = self._clock()
        due = self._ledger.next_alert(now - KEPT_TRYING)
        if due is None:
            return None
        return min(_LONGEST_NAP, max(0.05, (due - now).total_seconds()))

    def _of_this_process(self) -> "_Here":
        # A forked child has no thread of its parent, and a lock that one may have held.
        if self._here.pid != os.getpid():
            self._here = _Here()
        return self._here


class _Here:
    """The thread of one process, and what it is told by."""

    __slots__ = ("lock", "pid", "signal", "stopped", "thread")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.signal = threading.Event()
        self.stopped = False
        self.thread: threading.Thread | None = None


def _flush_at_exit(outbox: Outbox) -> None:
    # By a weak reference: a tracker that is forgotten must not live until the end.
    known = weakref.ref(outbox)

    def flush() -> None:
        living = known()
        if living is not None and living._here.thread is not None:  # noqa: SLF001 - of this module
            living.close()

    atexit.register(flush)
    weakref.finalize(outbox, atexit.unregister, flush).atexit = False
