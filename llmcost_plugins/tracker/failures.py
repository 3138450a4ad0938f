"""Failures of the bookkeeping: they are logged and counted, and cost no answer."""

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from llmcost_plugins.failure_log import FailureLog

_log: Final = logging.getLogger("llmcost_plugins")


class Failures:
    """Logs failures, counts them, and notes them for ``llmcost doctor``.

    Args:
        lock: guards the count.
        folders: where they are noted, see `FailureLog`.
        clock: returns the current aware instant.

    Attributes:
        count: how many there were.
    """

    def __init__(
        self, lock: threading.RLock, folders: Sequence[Path], clock: Callable[[], datetime]
    ) -> None:
        self.count = 0
        self._lock = lock
        self._noted = FailureLog(folders)
        self._clock = clock

    def note(self, what: str, *arguments: object) -> None:
        """Log a failure with the exception being handled, count it, and note it. Never raises.

        Args:
            what: what has failed, with places for *arguments* as in logging.
            arguments: what to put there; they are not noted.
        """
        self._noted.add(what, sys.exc_info()[1], self._clock())
        self.log(what, *arguments)

    def log(self, what: str, *arguments: object) -> None:
        """Log and count a failure that shows elsewhere, too, see `note`."""
        with self._lock:
            self.count += 1
        _log.error(what, *arguments, exc_info=sys.exc_info()[0] is not None)
