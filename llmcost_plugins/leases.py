"""Renewing the leases of calls that a frame of ours is inside of, for as long as it is."""

import logging
import os
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from llmcost_plugins.errors import LedgerUnavailable
from llmcost_plugins.ledger import Ledger

_log: Final = logging.getLogger("llmcost_plugins")


class Leases:
    """Keeps the holds of living calls alive; those of a process that dies end within one lease.

    A thread runs while there are such calls, and no longer than a lease after the last.

    Args:
        ledger: where the holds are.
        clock: returns the current aware instant.
        lease: how long a hold lasts without renewal.
        call_max: the longest that a call may take.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Callable[[], datetime],
        *,
        lease: timedelta,
        call_max: timedelta,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lease = min(lease, call_max)
        self._call_max = call_max
        self._lock = threading.Lock()
        self._until: dict[str, datetime] = {}
        self._wake = threading.Event()
        self._runs_in: int | None = None

    def first(self, at: datetime, *, watched: bool) -> datetime:
        """Return when the lease of a call held at that instant ends, unless it is renewed."""
        return at + (self._lease if watched else self._call_max)

    def watch(self, call_id: str, at: datetime) -> None:
        """Renew the lease of a call from now on."""
        with self._lock:
            self._until[call_id] = at + self._call_max
            if self._runs_in != os.getpid():
                self._runs_in = os.getpid()
                threading.Thread(target=self._run, name="llmcost-leases", daemon=True).start()

    def forget(self, call_id: str) -> None:
        """Stop renewing: the call has ended."""
        with self._lock:
            self._until.pop(call_id, None)

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            self._until.clear()
        self._wake.set()

    def renew_now(self) -> int:
        """Renew the leases of all watched calls; return how many holds that were."""
        now = self._clock()
        with self._lock:
            self._until = {call: until for call, until in self._until.items() if until > now}
            calls = list(self._until)
        return self._ledger.renew(calls, now + self._lease) if calls else 0

    def _run(self) -> None:
        while not self._wake.wait(self._lease.total_seconds() / 3):
            try:
                self.renew_now()
            except LedgerUnavailable:
                # Tried again in a third of a lease; a hold that ends meanwhile is corrected later.
                _log.warning("leases could not be renewed", exc_info=True)
            with self._lock:
                if not self._until:
                    self._runs_in = None
                    return
        with self._lock:
            self._wake.clear()
            self._runs_in = None
