"""Deleting old entries from the ledger: what was summed of them stays."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger.bucket_keys import AFTER_MARK, REPRICED_MARK, scope_parts
from llmcost_plugins.ledger.named_sql import Writing
from llmcost_plugins.ledger.rules import dump
from llmcost_plugins.ledger.slots import FOREVER, SLOT, Days, from_micros, micros

BATCH: Final = 500
"""How many entries are deleted in one transaction: others wait for some milliseconds."""
_FILLED_BY_SLOT: Final = frozenset({"model", "provider", "feature", "team", "project"})
_FILLED_BY_DAY: Final = frozenset({"user"})
_NEVER_FILLED: Final = frozenset({"run", "session", "block"})


class Purge:
    """One purge. See `Upkeep.purge` for what it promises.

    Args:
        before: the first instant that is kept.
        writing: how to write to the ledger.
        sql: the statements of ``upkeep.sql``.
        days: the days of the ledger's time zone.
    """

    def __init__(
        self, before: datetime, writing: Writing, sql: Mapping[str, str], days: Days
    ) -> None:
        self._before = before
        self._end = micros(before)
        self._writing = writing
        self._sql = sql
        self._days = days

    def run(self, who: str, at: datetime) -> int:
        """Do it, and note it in the audit; return how many entries were deleted.

        Raises:
            ConfigurationError: see `Upkeep.purge`.
        """
        with self._writing() as db:
            self._refuse_open_periods(db, micros(at))
            ((count,),) = db.execute(self._sql["older"], (self._end,)).fetchall()
            if not count:
                return 0
            # First the mark: killed at any moment, the ledger knows which sums cannot be checked.
            db.execute(self._sql["note_purge"], (self._end,))
            what = f"entries before {self._before.isoformat()}"
            db.execute(self._sql["note"], (micros(at), who, what, f"{count} entries", "deleted"))
        return sum(self._delete())

    def _refuse_open_periods(self, db: sqlite3.Connection, now: int) -> None:
        facts = {"now": now, "before": self._end}
        for scope, pattern, period, *ends in db.execute(self._sql["open_since"], facts).fetchall():
            if self._is_filled_from_entries(pattern, ends):
                latest = from_micros(ends[0]).isoformat()
                msg = (
                    f"cannot purge up to {self._before.isoformat()}: the {period} of the budget "
                    f"{pattern!r} (now {scope!r}) is not over, and its buckets are filled from the "
                    f"entries since {latest}, which is the latest that works"
                )
                raise ConfigurationError(msg)

    def _is_filled_from_entries(self, pattern: str, ends: list[int]) -> bool:
        keys = scope_parts(pattern).keys()
        if keys & _NEVER_FILLED:
            return False
        if any(end % SLOT for end in ends):
            return True
        if keys <= _FILLED_BY_SLOT:
            return False
        whole_days = all(end == self._days.start_of(from_micros(end)) for end in ends)
        return not (keys <= _FILLED_BY_DAY and whole_days)

    def _delete(self) -> Iterator[int]:
        place = {"at": -FOREVER, "id": 0, "before": self._end, "some": BATCH}
        marks = {"mark": REPRICED_MARK, "after_mark": AFTER_MARK, "before": self._end}
        while True:
            with self._writing() as db:
                began = time.monotonic()
                page = db.execute(self._sql["oldest_after"], place).fetchall()
                ids = dump([id_ for id_, _ in page])
                rows = db.execute(self._sql["deletable"], {"ids": ids, **marks}).fetchall()
                ids = dump([id_ for (id_,) in rows])
                db.execute(self._sql["fill_up"], {"ids": ids, "keys": None})
                db.execute(self._sql["delete"], {"ids": ids})
            yield len(rows)
            if len(page) < BATCH:
                return
            place.update(id=page[-1][0], at=page[-1][1])
            time.sleep(time.monotonic() - began)  # so that others get their turn
