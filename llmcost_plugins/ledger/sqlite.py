"""The ledger in an SQLite file: the default store, shared by the processes of one machine."""

import logging
import re
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from llmcost_plugins.budgets import Action, Bucket
from llmcost_plugins.errors import (
    ConfigurationError,
    LedgerUnavailable,
    Refusal,
    describe_choices,
)
from llmcost_plugins.ledger.base import (
    GROUPS,
    BucketState,
    Call,
    Entry,
    Hold,
    HoldResult,
    Learned,
    Outcome,
    Status,
    Total,
    repriced_id,
)
from llmcost_plugins.ledger.database import Database, load_sql
from llmcost_plugins.ledger.rows import (
    FOREVER,
    Days,
    bucket_state_from,
    call_from,
    call_row,
    dump,
    entry_from,
    entry_row,
    from_micros,
    micros,
    refusal_id,
    slot_of,
    total_from,
    totals_rows,
)
from llmcost_plugins.usage import Trust, Usage

_log: Final = logging.getLogger("llmcost_plugins")
_KEPT_BY_SLOT: Final = frozenset(
    {"slot", "model", "provider", "feature", "team", "project", "status"}
)
_KEPT_BY_PERSON: Final = frozenset({"slot", "user", "session", "status"})
_START_AT_ZERO: Final = frozenset({"run", "session"})


class SQLiteLedger:
    """Holds, buckets and entries in one SQLite file. See `Ledger` for what the verbs promise.

    Args:
        path: the file; created at first use.
        zone: the time zone whose days the sums by user and session are kept in.
        full_sync: whether a commit survives a loss of power.
    """

    def __init__(self, path: Path, *, zone: tzinfo = UTC, full_sync: bool = False) -> None:
        self._database = Database(path, full_sync=full_sync)
        self._days = Days(zone)
        self._sql = dict(_named_queries())
        self._deferred: deque[tuple[Call, Outcome]] = deque()

    @classmethod
    def from_url(cls, url: str, zone: tzinfo = UTC) -> Self:
        """Build from ``sqlite:///path`` with an optional ``?sync=full``.

        Raises:
            ConfigurationError: the URL cannot be understood.
        """
        scheme, separator, rest = url.partition(":///")
        path, _, query = rest.partition("?")
        if scheme != "sqlite" or not separator or not path:
            msg = (
                f"LLMCOST_LEDGER={url!r} is not a ledger's URL; a good value is "
                f"'sqlite:////var/lib/myapp/llmcost.db' (or 'sqlite:///llmcost.db', relative)"
            )
            raise ConfigurationError(msg)
        if path == ":memory:":
            msg = (
                f"LLMCOST_LEDGER={url!r} would be gone with the process, and with it what was "
                f"spent; name a file, such as 'sqlite:////var/lib/myapp/llmcost.db'"
            )
            raise ConfigurationError(msg)
        if query not in {"", "sync=full", "sync=normal"}:
            msg = f"LLMCOST_LEDGER={url!r}: {query!r} is not known; use '?sync=full' or nothing"
            raise ConfigurationError(msg)
        try:
            file = Path(path).expanduser()
        except RuntimeError as error:
            msg = f"LLMCOST_LEDGER={url!r} cannot be used: {error} Write the whole path."
            raise ConfigurationError(msg) from None
        return cls(file, zone=zone, full_sync=query == "sync=full")

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    def hold(self, hold: Hold) -> HoldResult:
        """See `Ledger.hold`."""
        with self._writing() as db:
            self._sweep(db, hold.call.at)
            if db.execute(self._sql["is_known"], {"call": hold.call.id}).fetchone()[0]:
                return HoldResult()
            keys = dump([bucket.key for bucket in hold.buckets])
            result = self._judge(db, hold, keys)
            if result.refusal is None:
                if hold.buckets:
                    db.execute(self._sql["hold_in_buckets"], (hold.amount, keys))
                lease = micros(hold.lease_until)
                row = (hold.call.id, hold.amount, lease, hold.owner, keys, *call_row(hold.call))
                db.execute(self._sql["add_hold"], row)
            return result

    def _judge(self, db: sqlite3.Connection, hold: Hold, keys: str) -> HoldResult:
        """Tell whether the hold fits in every bucket, creating those that are new."""
        if not hold.buckets:
            return HoldResult()
        rows = db.execute(self._sql["bucket_states"], (keys,)).fetchall()
        states = {key: (spent, held, holds) for key, spent, held, holds in rows}
        refusals: list[Refusal] = []
        warnings: list[Refusal] = []
        for bucket in hold.buckets:
            spent, held, holds = states.get(bucket.key) or self._add_bucket(db, bucket)
            # A call that costs nothing fits even when the money is gone.
            if hold.amount and spent + held + hold.amount > bucket.limit:
                refusal = _refusal(bucket, spent, held, holds, hold.amount)
                only_warns = bucket.budget.on_exceed is Action.WARN
                (warnings if only_warns else refusals).append(refusal)
        if not refusals:
            return HoldResult(warnings=warnings)
        # What waiting cannot solve is the better reason.
        worst = min(refusals, key=lambda refusal: refusal.only_holds_stand_in_the_way)
        fall_back = all(refusal.may_fall_back for refusal in refusals)
        return HoldResult(refusal=replace(worst, may_fall_back=fall_back))

    def _add_bucket(self, db: sqlite3.Connection, bucket: Bucket) -> tuple[int, int, int]:
        starts = micros(bucket.starts_at) if bucket.starts_at else None
        resets = micros(bucket.resets_at) if bucket.resets_at else None
        spent = 0
        if not _START_AT_ZERO & bucket.match.keys():
            found = db.execute(
                self._sql["spent_since"],
                {
                    "starts_at": -FOREVER if starts is None else starts,
                    "resets_at": FOREVER if resets is None else resets,
                    "match": dump(dict(bucket.match)),
                },
            )
            spent = found.fetchone()[0]
        budget = bucket.budget
        row = (bucket.key, bucket.scope, budget.scope, budget.per, starts, resets, spent)
        db.execute(self._sql["add_bucket"], row)
        return spent, 0, 0

    def settle(self, call: Call, outcome: Outcome) -> bool:
        """See `Ledger.settle`.

        The garbage collector may end an abandoned stream in the middle of another verb of the same
        thread. Such a call is settled when that verb is through, and counted as settled here.
        """
        if self._database.is_writing_here:
            self._deferred.append((call, outcome))
            return True
        with self._writing() as db:
            return self._settle(db, call, outcome)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._database.writing() as db:
                yield db
        finally:
            while self._deferred:
                self._settle_deferred(*self._deferred.popleft())

    def _settle_deferred(self, call: Call, outcome: Outcome) -> None:
        try:
            with self._database.writing() as db:
                self._settle(db, call, outcome)
        except LedgerUnavailable:
            # Not raised: it would hit a verb that has nothing to do with this call.
            _log.exception("the call %s could not be settled; it counts as lost in time", call.id)

    def _settle(self, db: sqlite3.Connection, call: Call, outcome: Outcome) -> bool:
        held = db.execute(self._sql["take_hold"], (call.id,)).fetchall()
        if held:
            amount, keys = held[0]
            moved = {"amount": amount, "cost": outcome.cost, "keys": keys}
            db.execute(self._sql["settle_in_buckets"], moved)
            return self._add_entry(db, call, outcome, keys)
        earlier = db.execute(self._sql["entry_of"], (call.id,)).fetchone()
        if earlier is None:
            return self._add_entry(db, call, outcome, "[]")
        lost_cost, keys, status, trust = earlier
        if status != Status.LOST:
            return False
        correction = replace(
            outcome,
            status=Status.CORRECTION,
            cost=outcome.cost - lost_cost,
            detail=f"{outcome.status} after its hold was counted as lost",
            mends=Trust(trust),
        )
        if not self._add_entry(db, call, correction, keys):
            return False
        db.execute(self._sql["correct_in_buckets"], (correction.cost, keys))
        return True

    def _add_entry(
        self, db: sqlite3.Connection, call: Call, outcome: Outcome, buckets: str
    ) -> bool:
        row = entry_row(call, outcome, buckets)
        if db.execute(self._sql["add_entry"], row).rowcount == 0:
            return False
        by_slot, by_person = totals_rows(call, outcome, self._days)
        db.execute(self._sql["add_totals"], by_slot)
        db.execute(self._sql["add_totals_by_person"], by_person)
        return True

    def correct(self, entry: Entry, outcome: Outcome) -> bool:
        """See `Ledger.correct`."""
        with self._writing() as db:
            found = db.execute(self._sql["entry_of"], (entry.call.id,)).fetchone()
            if found is None:
                return False
            keys = found[1]
            same = replace(entry.call, id=repriced_id(entry.call.id, outcome.fingerprint))
            if not self._add_entry(db, same, outcome, keys):
                return False
            db.execute(self._sql["correct_in_buckets"], (outcome.cost, keys))
            return True

    def learn(self, model: str, measure: str, ratio: int) -> Learned:
        """See `Ledger.learn`."""
        with self._writing() as db:
            found = db.execute(self._sql["learn"], (model, measure, ratio)).fetchall()
            return Learned(*found[0])

    def learned(self) -> dict[tuple[str, str], Learned]:
        """See `Ledger.learned`."""
        query = self._sql["learned"]
        rows = self._database.read(lambda db: db.execute(query).fetchall())
        return {(model, measure): Learned(ratio, seen) for model, measure, ratio, seen in rows}

    def release(self, call_id: str) -> bool:
        """See `Ledger.release`."""
        with self._writing() as db:
            held = db.execute(self._sql["take_hold"], (call_id,)).fetchall()
            for amount, keys in held:
                moved = {"amount": amount, "cost": 0, "keys": keys}
                db.execute(self._sql["settle_in_buckets"], moved)
            return bool(held)

    def record_refusal(self, call: Call, refusal: Refusal) -> None:
        """See `Ledger.record_refusal`."""
        same = replace(call, id=refusal_id(call, refusal))
        detail = f"budget {refusal.scope} per {refusal.period}"
        outcome = Outcome(Status.REFUSED, Usage(), 0, call.at, detail=detail)
        with self._writing() as db:
            if not self._add_entry(db, same, outcome, "[]"):
                db.execute(self._sql["count_refusal"], (same.id,))
                by_slot, by_person = totals_rows(same, outcome, self._days)
                db.execute(self._sql["add_totals"], by_slot)
                db.execute(self._sql["add_totals_by_person"], by_person)

    def sweep(self, now: datetime) -> int:
        """See `Ledger.sweep`."""
        with self._writing() as db:
            return self._sweep(db, now)

    def _sweep(self, db: sqlite3.Connection, now: datetime) -> int:
        expired = db.execute(self._sql["expired"], (micros(now),)).fetchall()
        for call_id, amount, *columns in expired:
            usage = Usage(trust=Trust.ESTIMATED)
            detail = "its process ended, or never said how the call did"
            outcome = Outcome(Status.LOST, usage, amount, now, detail=detail)
            self._settle(db, call_from(call_id, tuple(columns)), outcome)
        return len(expired)

    def entries(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Entry]:
        """See `Ledger.entries`."""
        after: tuple[int, int] = (micros(since) - 1 if since else -FOREVER, FOREVER)
        end = micros(until) if until else FOREVER
        while page := self._page(after, end):
            for row in page:
                yield entry_from(row[1:])
            after = (page[-1][2], page[-1][0])

    def _page(self, after: tuple[int, int], end: int) -> list[tuple[Any, ...]]:
        query = self._sql["entries_after"]
        return self._database.read(lambda db: db.execute(query, (*after, end)).fetchall())

    def totals(
        self,
        by: Sequence[str],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Total]:
        """See `Ledger.totals`."""
        unknown = [field for field in by if field not in GROUPS]
        if unknown:
            msg = f"cannot group by {unknown[0]!r}; it must be one of {describe_choices(GROUPS)}"
            raise ConfigurationError(msg)
        groups = "".join(f"{field}, " for field in by)
        grouping = f"GROUP BY {', '.join(by)} ORDER BY {', '.join(by)}" if by else ""
        span = (slot_of(since) if since else -FOREVER, slot_of(until) if until else FOREVER)
        # The names are those of GROUPS, checked above.
        query = self._sql["sum_totals"].format(
            groups=groups, table=self._table_for(by, span), grouping=grouping
        )
        rows = self._database.read(lambda db: db.execute(query, span).fetchall())
        return [total_from(row, by) for row in rows]

    def _table_for(self, by: Sequence[str], span: tuple[int, int]) -> str:
        if _KEPT_BY_SLOT.issuperset(by):
            return "totals"
        if _KEPT_BY_PERSON.issuperset(by) and all(self._bounds_days(end) for end in span):
            return "totals_by_person"
        return "totals_by_scan"

    def _bounds_days(self, instant: int) -> bool:
        return abs(instant) == FOREVER or instant == self._days.start_of(from_micros(instant))

    def statuses(self, now: datetime) -> list[BucketState]:
        """See `Ledger.statuses`."""
        self.sweep(now)
        instant = {"now": micros(now)}
        query = self._sql["open_buckets"]
        rows = self._database.read(lambda db: db.execute(query, instant).fetchall())
        return [bucket_state_from(row) for row in rows]

    def exists(self) -> bool:
        """See `Ledger.exists`."""
        return self.path.exists()

    def close(self) -> None:
        """See `Ledger.close`."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _named_queries() -> Iterator[tuple[str, str]]:
    for chunk in load_sql("queries.sql").split("-- name: ")[1:]:
        name, _, text = chunk.partition("\n")
        # Without its final semicolon, so that one statement is one execute.
        yield name.strip(), re.sub(r";\s*$", "", text)


def _refusal(bucket: Bucket, spent: int, held: int, holds: int, needed: int) -> Refusal:
    return Refusal(
        scope=bucket.scope,
        period="run" if "run" in bucket.match else bucket.budget.per.value,
        limit=bucket.limit,
        spent=spent,
        held=held,
        holds=holds,
        needed=needed,
        resets_at=bucket.resets_at,
        may_fall_back=bucket.budget.on_exceed is Action.FALLBACK,
    )
