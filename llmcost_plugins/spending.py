"""What a group of calls has cost so far."""

import threading
from decimal import Decimal

from llmcost_plugins.money import nano_to_usd


class Spending:
    """What calls have cost so far, those of a block or a handler. For several threads at once."""

    __slots__ = ("_cost", "_count", "_lock", "_saved")

    def __init__(self) -> None:
        # Reentrant: the garbage collector may end an abandoned stream wherever this thread is.
        self._lock = threading.RLock()
        self._cost = self._saved = self._count = 0

    def add(self, cost: int, saved: int) -> None:
        """Count one call, in nano-dollars."""
        with self._lock:
            self._cost += cost
            self._saved += saved
            self._count += 1

    @property
    def total(self) -> Decimal:
        """USD spent by the calls that have ended."""
        return nano_to_usd(self._cost)

    @property
    def saved(self) -> Decimal:
        """USD that cached answers among them would have cost."""
        return nano_to_usd(self._saved)

    @property
    def calls(self) -> int:
        """How many calls have ended."""
        return self._count
