"""The ledger in an SQLite file: the default store, shared by the processes of one machine."""

import json
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from llmcost_plugins.budgets import Bucket, Budget, BudgetKey, Unit
from llmcost_plugins.errors import ConfigurationError, LedgerUnavailable, Refusal
from llmcost_plugins.ledger.base import (
    Alert,
    BucketState,
    Call,
    Change,
    Charge,
    Entry,
    Hold,
    HoldResult,
    Learned,
    OpenHold,
    Outcome,
    Settled,
    Status,
    Total,
    Used,
    repriced_id,
)
from llmcost_plugins.ledger.database import Database
from llmcost_plugins.ledger.named_sql import named_sql
from llmcost_plugins.ledger.rows import (
    alert_from,
    bucket_state_from,
    budget_from,
    budget_row,
    call_from,
    call_row,
    entry_from,
    entry_row,
    open_hold_from,
    total_from,
    totals_rows,
    used_from,
)
from llmcost_plugins.ledger.rules import (
    Standing,
    change_of,
    charge_of,
    dump,
    found_again,
    in_words,
    judge,
    lost,
    more_than,
    raised,
    refused,
    starts_at_zero,
    wanted_of,
)
from llmcost_plugins.ledger.slots import (
    FOREVER,
    SLOT,
    Days,
    Kept,
    check_groups,
    from_micros,
    kept,
    micros,
    slot_span,
)
from llmcost_plugins.periods import Period
from llmcost_plugins.usage import Trust

if TYPE_CHECKING:
    from llmcost_plugins.ledger.upkeep import Upkeep

_log: Final = logging.getLogger("llmcost_plugins")
_UNREADABLE: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_NOWHERE: Final = "{}"
"""The buckets of a call that touches none."""


class SQLiteLedger:
    """Holds, buckets and entries in one SQLite file. See `Ledger` for what the verbs promise.

    Args:
        path: the file; created at first use.
        zone: the time zone whose days the sums by user and session are kept in.
        full_sync: whether a commit survives a loss of power.
    """

    def __init__(self, path: Path, *, zone: tzinfo = UTC, full_sync: bool = False) -> None:
        self._database = Database(path, full_sync=full_sync)
        self._full_sync = full_sync
        self._days = Days(zone)
        self._sql = named_sql("queries.sql")
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
                f"'sqlite:////var/lib/myapp/llmcost.db' ('sqlite:///llmcost.db' is relative; "
                f"'memory://' is gone with the process)"
            )
            raise ConfigurationError(msg)
        if path == ":memory:":
            msg = (
                f"LLMCOST_LEDGER={url!r} would be gone with the process, and with it what was "
                f"spent; name a file, such as 'sqlite:////var/lib/myapp/llmcost.db' (or say "
                f"'memory://' where nothing is to be kept)"
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

    @property
    def url(self) -> str:
        """What `open_ledger` opens the same file by, from any folder."""
        return f"sqlite:///{self.path.absolute()}{'?sync=full' if self._full_sync else ''}"

    @property
    def upkeep(self) -> "Upkeep":
        """The maintenance verbs."""
        from llmcost_plugins.ledger.upkeep import Upkeep

        return Upkeep(self.path, self._writing, self._days)

    def hold(self, hold: Hold) -> HoldResult:
        """See `Ledger.hold`."""
        with self._writing() as db:
            facts = {"now": micros(hold.call.at), "call": hold.call.id}
            expired, known = db.execute(self._sql["outlook"], facts).fetchone()
            if expired:
                self._sweep(db, hold.call.at)
            if known:
                return HoldResult()
            wanted = wanted_of(hold)
            amounts = dump(wanted)
            result = self._judge(db, hold.call.id, hold.buckets, wanted, amounts)
            if result.refusal is None:
                if wanted:
                    db.execute(self._sql["hold_in_buckets"], (amounts,))
                db.execute(self._sql["add_hold"], _hold_row(hold, amounts))
            return result

    def extend(self, hold: Hold) -> HoldResult:
        """See `Ledger.extend`."""
        with self._writing() as db:
            found = db.execute(self._sql["hold_of"], (hold.call.id,)).fetchone()
            if found is None:
                return HoldResult()
            usd, tokens, known = found
            held: dict[str, int] = json.loads(known)
            more = more_than(held, wanted_of(hold))
            buckets, amounts = [b for b in hold.buckets if b.key in more], dump(more)
            result = self._judge(db, hold.call.id, buckets, more, amounts)
            if result.refusal is None and more:
                db.execute(self._sql["more_in_buckets"], {"known": known, "more": amounts})
                largest = max(usd, hold.charge.usd), max(tokens, hold.charge.tokens)
                db.execute(
                    self._sql["change_hold"], (*largest, dump(raised(held, more)), hold.call.id)
                )
            return result

    def renew(self, calls: Sequence[str], until: datetime) -> int:
        """See `Ledger.renew`."""
        with self._writing() as db:
            facts = {"until": micros(until), "calls": dump(list(calls))}
            return db.execute(self._sql["renew"], facts).rowcount

    def _judge(
        self,
        db: sqlite3.Connection,
        call_id: str,
        buckets: Sequence[Bucket],
        wanted: Mapping[str, int],
        amounts: str,
    ) -> HoldResult:
        """Tell whether so much more fits in every bucket, creating those that are new."""
        if not buckets:
            return HoldResult()
        rows = db.execute(self._sql["bucket_states"], (amounts,)).fetchall()
        states = {key: (spent, held, holds) for key, spent, held, holds in rows}
        return judge(
            buckets,
            wanted,
            lambda bucket: states.get(bucket.key) or self._add_bucket(db, bucket, call_id),
        )

    def _add_bucket(self, db: sqlite3.Connection, bucket: Bucket, call_id: str) -> Standing:
        starts = micros(bucket.starts_at) if bucket.starts_at else None
        resets = micros(bucket.resets_at) if bucket.resets_at else None
        spent, joined = 0, []
        if not starts_at_zero(bucket):
            span = {
                "starts_at": -FOREVER if starts is None else starts,
                "resets_at": FOREVER if resets is None else resets,
            }
            spent = self._spent_in(db, bucket, span).of(bucket.unit)
            facts = {"key": bucket.key, "unit": bucket.unit, "match": dump(dict(bucket.match))}
            # Other calls in flight, that began before this bucket was known, end in it, too.
            others = {**span, **facts, "but": call_id}
            joined = db.execute(self._sql["join_holds"], others).fetchall()
        held = sum(amount for (amount,) in joined)
        budget, sums = bucket.budget, (spent, held, len(joined), bucket.unit)
        row = (bucket.key, bucket.scope, budget.scope, budget.per, starts, resets, *sums)
        db.execute(self._sql["add_bucket"], row)
        return spent, held, len(joined)

    def _spent_in(self, db: sqlite3.Connection, bucket: Bucket, span: Mapping[str, int]) -> Charge:
        """Sum what was spent in a bucket's period: from the totals where they are as fine."""
        ends = span["starts_at"], span["resets_at"]
        table = kept([*bucket.match, "slot"], ends, self._days)
        aligned = all(abs(end) == FOREVER or end % SLOT == 0 for end in ends)
        if table is Kept.BY_SCAN or not aligned:
            facts = {**span, "match": dump(dict(bucket.match))}
            return Charge(*db.execute(self._sql["spent_by_entries"], facts).fetchone())
        # The keys are columns of that table, see kept().
        filters = "".join(f" AND {key} = :{key}" for key in bucket.match)
        query = self._sql["spent_by_totals"].format(table=table, filters=filters)
        return Charge(*db.execute(query, {**span, **bucket.match}).fetchone())

    def settle(self, call: Call, outcome: Outcome) -> Settled | None:
        """See `Ledger.settle`.

        The garbage collector may end an abandoned stream in the middle of another verb of the same
        thread. Such a call is settled when that verb is through, and counted as settled here.
        """
        if self._database.is_writing_here:
            self._deferred.append((call, outcome))
            return Settled({})
        with self._writing() as db:
            return self._settle(db, call, outcome)

    def record(self, call: Call, outcome: Outcome, buckets: Sequence[Bucket]) -> bool:
        """See `Ledger.record`."""
        with self._writing() as db:
            facts = {"now": micros(call.at), "call": call.id}
            if db.execute(self._sql["outlook"], facts).fetchone()[1]:
                return False
            charge = charge_of(outcome)
            charges = dump({bucket.key: charge.of(bucket.unit) for bucket in buckets})
            rows = db.execute(self._sql["bucket_states"], (charges,)).fetchall()
            known = {row[0] for row in rows}
            for bucket in buckets:
                if bucket.key not in known:
                    self._add_bucket(db, bucket, call.id)
            self._add_entry(db, call, outcome, charges)
            db.execute(self._sql["charge_in_buckets"], (charges,))
            return True

    def _writing(self) -> "_Verb":
        return _Verb(self._database.writing(), self._settle_deferred)

    def _settle_deferred(self) -> None:
        while self._deferred:
            try:
                call, outcome = self._deferred.popleft()
            except IndexError:  # another thread has taken the last one
                return
            try:
                with self._database.writing() as db:
                    self._settle(db, call, outcome)
            except LedgerUnavailable:
                # Not raised: it would hit a verb that has nothing to do with this call.
                words = "the call %s could not be settled; it counts as lost in time"
                _log.exception(words, call.id)

    def _settle(self, db: sqlite3.Connection, call: Call, outcome: Outcome) -> Settled | None:
        held = db.execute(self._sql["take_hold"], (call.id,)).fetchall()
        if held:
            return self._settle_held(db, call, outcome, held[0][2])
        earlier = db.execute(self._sql["entry_of"], (call.id,)).fetchone()
        if earlier is None:
            return Settled({}) if self._add_entry(db, call, outcome, "{}") else None
        lost_cost, charged, status, trust = earlier
        if status != Status.LOST:
            return None
        correction = found_again(outcome, lost_cost, Trust(trust))
        true = charge_of(outcome)
        units = db.execute(self._sql["units_of"], (charged,)).fetchall()
        before: dict[str, int] = json.loads(charged)
        changes = dump({key: true.of(Unit(unit)) - before[key] for key, unit in units})
        if not self._add_entry(db, call, correction, changes):
            return None
        db.execute(self._sql["charge_in_buckets"], (changes,))
        return Settled({})

    def _settle_held(
        self, db: sqlite3.Connection, call: Call, outcome: Outcome, amounts: str
    ) -> Settled:
        spent: dict[str, int] = {}
        charges: dict[str, int] = {}
        if amounts != _NOWHERE:
            charge = charge_of(outcome)
            facts = {
                "hold": amounts,
                "cost": charge.usd,
                "tokens": charge.tokens,
                "requests": charge.requests,
            }
            for key, charged, now in db.execute(self._sql["settle_in_buckets"], facts).fetchall():
                charges[key], spent[key] = charged, now
        self._add_entry(db, call, outcome, dump(charges))
        return Settled(spent)

    def _add_entry(
        self, db: sqlite3.Connection, call: Call, outcome: Outcome, charges: str
    ) -> bool:
        row = entry_row(call, outcome, charges)
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
            units = db.execute(self._sql["units_of"], (found[1],)).fetchall()
            changes = dump({key: outcome.cost for key, unit in units if unit == Unit.USD})
            same = replace(entry.call, id=repriced_id(entry.call.id, outcome.fingerprint))
            if not self._add_entry(db, same, outcome, changes):
                return False
            db.execute(self._sql["charge_in_buckets"], (changes,))
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
            for _, _, amounts in held:
                db.execute(self._sql["release_in_buckets"], (amounts,))
            return bool(held)

    def record_refusal(self, call: Call, refusal: Refusal) -> None:
        """See `Ledger.record_refusal`."""
        same, outcome = refused(call, refusal)
        with self._writing() as db:
            if not self._add_entry(db, same, outcome, _NOWHERE):
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
            ((_, _, amounts),) = db.execute(self._sql["take_hold"], (call_id,)).fetchall()
            db.execute(self._sql["lose_in_buckets"], (amounts,))
            call = call_from(call_id, tuple(columns))
            self._add_entry(db, call, lost(amount, now), amounts)
        return len(expired)

    def holds(self) -> list[OpenHold]:
        """See `Ledger.holds`."""
        query = self._sql["open_holds"]
        return [
            open_hold_from(row)
            for row in self._database.read(lambda db: db.execute(query).fetchall())
        ]

    def standing(self, buckets: Sequence[str]) -> dict[str, tuple[int, int]]:
        """See `Ledger.standing`."""
        query, keys = self._sql["bucket_states"], dump(dict.fromkeys(buckets, 0))
        rows = self._database.read(lambda db: db.execute(query, (keys,)).fetchall())
        return {key: (spent, held) for key, spent, held, _ in rows}

    def drop(self, bucket: str) -> bool:
        """See `Ledger.drop`."""
        if not self.exists():
            return False
        with self._writing() as db:
            return db.execute(self._sql["drop_bucket"], (bucket,)).rowcount == 1

    def tell(self, bucket: str, threshold: str, at: datetime, payload: str = "") -> bool:
        """See `Ledger.tell`."""
        row = (bucket, threshold, micros(at))
        with self._writing() as db:
            if db.execute(self._sql["tell"], row).rowcount == 0:
                return False
            if payload:
                db.execute(self._sql["add_alert"], (*row, payload))
            return True

    def claim_alert(
        self, now: datetime, until: datetime, *, since: datetime | None = None
    ) -> Alert | None:
        """See `Ledger.claim_alert`."""
        start = micros(since) if since else -FOREVER
        facts = {"now": micros(now), "until": micros(until), "since": start}
        with self._writing() as db:
            rows = db.execute(self._sql["claim_alert"], facts).fetchall()
        return alert_from(rows[0]) if rows else None

    def alert_sent(self, alert: Alert, at: datetime) -> None:
        """See `Ledger.alert_sent`."""
        with self._writing() as db:
            db.execute(self._sql["alert_sent"], (alert.bucket, alert.threshold, micros(at)))

    def alert_failed(self, alert: Alert, again: datetime, failure: str) -> None:
        """See `Ledger.alert_failed`."""
        row = (alert.bucket, alert.threshold, micros(again), failure)
        with self._writing() as db:
            db.execute(self._sql["alert_failed"], row)

    def next_alert(self, since: datetime | None = None) -> datetime | None:
        """See `Ledger.next_alert`."""
        query, start = self._sql["next_alert"], micros(since) if since else -FOREVER
        found = self._database.read(lambda db: db.execute(query, (start,)).fetchone())
        return None if found[0] is None else from_micros(found[0])

    def alerts(self) -> list[Alert]:
        """See `Ledger.alerts`."""
        query = self._sql["alerts"]
        rows = self._database.read(lambda db: db.execute(query).fetchall())
        return [alert_from(row) for row in rows]

    def budgets(self) -> dict[BudgetKey, Budget | None]:
        """See `Ledger.budgets`."""
        query = self._sql["budgets"]
        rows = self._database.read(lambda db: db.execute(query).fetchall())
        return {
            BudgetKey(scope, Period(per), Unit(unit)): budget_from(text)
            for scope, per, unit, text in rows
        }

    def set_budget(self, key: BudgetKey, budget: Budget | None, *, who: str, at: datetime) -> None:
        """See `Ledger.set_budget`."""
        with self._writing() as db:
            before = self._words(db, key)
            db.execute(self._sql["set_budget"], (*key, budget_row(budget)))
            self._note(db, who, at, key, before)

    def unset_budget(self, key: BudgetKey, *, who: str, at: datetime) -> bool:
        """See `Ledger.unset_budget`."""
        with self._writing() as db:
            before = self._words(db, key)
            if db.execute(self._sql["unset_budget"], key).rowcount == 0:
                return False
            self._note(db, who, at, key, before)
            return True

    def _words(self, db: sqlite3.Connection, key: BudgetKey) -> str:
        found = db.execute(self._sql["budget_of"], key).fetchone()
        return "" if found is None else in_words(budget_from(found[0]))

    def _note(
        self, db: sqlite3.Connection, who: str, at: datetime, key: BudgetKey, before: str
    ) -> None:
        change = change_of(key, who, at, before, self._words(db, key))
        row = (micros(change.at), change.who, change.what, change.before, change.after)
        db.execute(self._sql["note_change"], row)

    def changes(self) -> list[Change]:
        """See `Ledger.changes`."""
        query = self._sql["changes"]
        rows = self._database.read(lambda db: db.execute(query).fetchall())
        return [Change(from_micros(at), *words) for at, *words in rows]

    def revision(self) -> int:
        """See `Ledger.revision`."""
        query = self._sql["last_change"]
        found = self._database.read(lambda db: db.execute(query).fetchone())
        return int(found[0])

    def entries(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Entry]:
        """See `Ledger.entries`."""
        after: tuple[int, int] = (micros(since) - 1 if since else -FOREVER, FOREVER)
        end = micros(until) if until else FOREVER
        while page := self._page("entries_after", after, end):
            for row in page:
                try:
                    entry = entry_from(row[1:])
                except _UNREADABLE as error:
                    raise self._unreadable(row[0], error) from error
                yield entry
            after = (page[-1][2], page[-1][0])

    def used(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Used]:
        """See `Ledger.used`."""
        after: tuple[int, int] = (micros(since) - 1 if since else -FOREVER, FOREVER)
        end = micros(until) if until else FOREVER
        while page := self._page("used_after", after, end):
            for row in page:
                try:
                    used = used_from(row)
                except _UNREADABLE as error:
                    raise self._unreadable(row[0], error) from error
                yield used
            after = (page[-1][1], page[-1][0])

    def _unreadable(self, number: int, error: Exception) -> LedgerUnavailable:
        return LedgerUnavailable(
            f"the ledger {str(self.path)!r} has an entry that cannot be read (id {number}: "
            f"{error}): it is damaged, or of a newer version of llmcost-plugins. Upgrade, or see "
            f"what 'llmcost ledger verify' finds. LLMCOST_LEDGER names the file in use."
        )

    def _page(self, name: str, after: tuple[int, int], end: int) -> list[tuple[Any, ...]]:
        query = self._sql[name]
        return self._database.read(lambda db: db.execute(query, (*after, end)).fetchall())

    def totals(
        self,
        by: Sequence[str],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Total]:
        """See `Ledger.totals`."""
        check_groups(by)
        groups = "".join(f"{field}, " for field in by)
        grouping = f"GROUP BY {', '.join(by)} ORDER BY {', '.join(by)}" if by else ""
        span = slot_span(since, until)
        # The names are those of GROUPS, checked above.
        query = self._sql["sum_totals"].format(
            groups=groups, table=kept(by, span, self._days), grouping=grouping
        )
        rows = self._database.read(lambda db: db.execute(query, span).fetchall())
        return [total_from(row, by) for row in rows]

    def statuses(self, now: datetime, *, sweep: bool = True) -> list[BucketState]:
        """See `Ledger.statuses`."""
        if sweep:
            self.sweep(now)
        instant = {"now": micros(now)}
        query = self._sql["open_buckets"]
        rows = self._database.read(lambda db: db.execute(query, instant).fetchall())
        return [bucket_state_from(row) for row in rows]

    def exists(self) -> bool:
        """See `Ledger.exists`."""
        try:
            return self.path.exists()
        except OSError as error:  # nobody may look there, or no file can have this name
            raise self._database.unavailable(error) from error

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


class _Verb:
    """One transaction, and after it the calls that ended meanwhile.

    A class: a second generator around that of the transaction would cost as much as a statement.
    """

    __slots__ = ("_after", "_transaction")

    def __init__(
        self,
        transaction: AbstractContextManager[sqlite3.Connection],
        after: Callable[[], None],
    ) -> None:
        self._transaction = transaction
        self._after = after

    def __enter__(self) -> sqlite3.Connection:
        return self._transaction.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._transaction.__exit__(kind, error, trace)
        finally:
            self._after()


def _hold_row(hold: Hold, amounts: str) -> tuple[Any, ...]:
    charge, lease = hold.charge, micros(hold.lease_until)
    facts = (hold.call.id, charge.usd, lease, hold.owner, amounts)
    return (*facts, *call_row(hold.call), charge.tokens)
