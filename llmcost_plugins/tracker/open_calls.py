"""The calls between their start and their end."""

import threading
from datetime import datetime
from typing import Final

from llmcost_plugins.calls import OpenCall
from llmcost_plugins.leases import Leases

_PRUNE_FROM: Final = 1024


class OpenCalls:
    """Knows the open calls of a tracker by their id, and lets each end once.

    Args:
        leases: renews those of the calls that are watched.
        lock: guards the calls. Reentrant: the garbage collector may end an abandoned stream
            wherever this thread is.
    """

    def __init__(self, leases: Leases, lock: threading.RLock) -> None:
        self._leases = leases
        self._lock = lock
        self._calls: dict[str, OpenCall] = {}

    def find(self, call_id: str) -> OpenCall | None:
        """Return the open call of that id."""
        return self._calls.get(call_id)

    def has(self, call: OpenCall) -> bool:
        """Tell whether this very call is open."""
        return self._calls.get(call.spec.id) is call

    def add(self, call: OpenCall) -> OpenCall:
        """Note the start of a call; return the one of its id that was first."""
        with self._lock:
            if len(self._calls) >= _PRUNE_FROM:
                self._prune(call.call.at)
            opened = self._calls.setdefault(call.spec.id, call)
        if opened is call and call.spec.watched and not call.unheld:
            self._leases.watch(call.spec.id, call.call.at)
        return opened

    def _prune(self, now: datetime) -> None:
        """Forget calls whose hold the ledger counts as lost by now."""
        gone = [
            id_
            for id_, call in self._calls.items()
            if not call.spec.watched and call.lease_until < now
        ]
        for call_id in gone:
            del self._calls[call_id]

    def end(self, call: OpenCall) -> bool:
        """Note the end of a call; return False when it had ended before."""
        with self._lock:
            first, call.settled = not call.settled, True
            # It may have been forgotten: a call that outlives its lease still ends once.
            if self._calls.get(call.spec.id) is call:
                del self._calls[call.spec.id]
        if first and call.spec.watched:
            self._leases.forget(call.spec.id)
        return first

    def may_wait(self, call: OpenCall) -> bool:
        """Tell whether the money in the way could be settled while this thread or task waits."""
        if not call.spec.may_wait:
            return False
        mine, now = call.owner, call.call.at
        # A copy: other threads open and end calls meanwhile.
        others = list(self._calls.values())
        return not any(other.owner == mine and other.lease_until > now for other in others)
