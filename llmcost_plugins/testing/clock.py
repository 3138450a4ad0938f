"""A clock for tests."""

import threading
from datetime import datetime, timedelta


class FakeClock:
    """Call it to get the time, which stands still until `advance` or `set` moves it.

    Safe to share between threads. Raises ValueError for a time without a time zone.
    """

    def __init__(self, start: datetime) -> None:
        self._lock = threading.Lock()
        self._now = _aware(start)

    def __call__(self) -> datetime:
        """Return the current time, in the zone it was given in."""
        with self._lock:
            return self._now

    def advance(self, step: timedelta | float) -> datetime:
        """Move forward by a timedelta or by seconds, and return the new time.

        Raises ValueError for a negative step; `set` may go back.
        """
        delta = step if isinstance(step, timedelta) else timedelta(seconds=step)
        if delta < timedelta(0):
            msg = f"a clock advances forward only, not by {step!r}; use set() to go back"
            raise ValueError(msg)
        with self._lock:
            self._now += delta
            return self._now

    def set(self, now: datetime) -> None:
        """Jump to any time, earlier ones included."""
        with self._lock:
            self._now = _aware(now)


def _aware(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        msg = f"the time {moment!r} needs a time zone, for example tzinfo=timezone.utc"
        raise ValueError(msg)
    return moment
