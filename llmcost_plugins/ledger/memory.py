"""The ledger in plain Python, gone with the process: for tests, and scripts that keep nothing."""

import os
import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from types import TracebackType
from typing import Final, Self

from llmcost_plugins.budgets import Bucket, Budget, BudgetKey, Unit
from llmcost_plugins.errors import LedgerUnavailable, Refusal
from llmcost_plugins.ledger.base import (
    NO_CALL,
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
from llmcost_plugins.ledger.rules import (
    Standing,
    change_of,
    charge_of,
    found_again,
    in_words,
    judge,
    lost,
    more_than,
    raised,
    refused,
    starts_at_zero,
    sums_of,
    wanted_of,
)
from llmcost_plugins.ledger.slots import (
    SLOT,
    Days,
    Kept,
    check_groups,
    from_micros,
    kept,
    micros,
    slot_span,
)

# One lock for all: a fork takes it, so that what the child copies is nobody's half-done verb.
# Reentrant: the garbage collector may run a stream's end inside a verb of the same thread.
_lock: Final = threading.RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


@dataclass(slots=True)
class _Count:
    """What a bucket counts."""

    bucket: Bucket
    spent: int
    held: int = 0
    holds: int = 0


@dataclass(slots=True)
class _Held:
    """A hold, and how much of it is in each bucket."""

    call: Call
    charge: Charge
    lease_until: datetime
    owner: str
    amounts: dict[str, int]


@dataclass(slots=True)
class _Line:
    """An entry, when it was in microseconds, and what each bucket was charged."""

    at: int
    entry: Entry
    charges: Mapping[str, int]


class MemoryLedger:
    """Holds, buckets and entries in this process alone. See `Ledger` for what the verbs promise.

    Other processes do not see it; a forked child goes on with a copy of its own.

    Args:
        zone: the time zone whose days the sums by user and session are kept in.
    """

    def __init__(self, *, zone: tzinfo = UTC) -> None:
        self._days = Days(zone)
        self._busy = False
        self._deferred: deque[tuple[Call, Outcome]] = deque()
        self._counts: dict[str, _Count] = {}
        self._held: dict[str, _Held] = {}
        self._lines: list[_Line] = []
        # By the call's id, and whether it is a correction: a call has at most one of each.
        self._known: dict[tuple[str, bool], _Line] = {}
        self._learned: dict[tuple[str, str], Learned] = {}
        self._told: set[tuple[str, str]] = set()
        self._alerts: dict[tuple[str, str], Alert] = {}
        self._budgets: dict[BudgetKey, Budget | None] = {}
        self._changes: list[Change] = []

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Run the block while nobody else changes anything."""
        with _lock:
            if self._busy:
                msg = "the ledger in memory is asked again in the middle of one of its verbs"
                raise LedgerUnavailable(msg)
            self._busy = True
            try:
                yield
            finally:
                self._busy = False
                while self._deferred:
                    self.settle(*self._deferred.popleft())

    def hold(self, hold: Hold) -> HoldResult:
        """See `Ledger.hold`."""
        with self._changing():
            call = _normal(hold.call)
            self._sweep(call.at)
            if self._knows(call.id):
                return HoldResult()
            wanted = wanted_of(hold)
            result = self._judge(call.id, hold.buckets, wanted)
            if result.refusal is None:
                charge = Charge(hold.charge.usd, hold.charge.tokens)
                held = _Held(call, charge, _in_utc(hold.lease_until), hold.owner, {})
                self._add_to(held, wanted)
                self._held[call.id] = held
            return result

    def extend(self, hold: Hold) -> HoldResult:
        """See `Ledger.extend`."""
        with self._changing():
            held = self._held.get(hold.call.id)
            if held is None:
                return HoldResult()
            more = more_than(held.amounts, wanted_of(hold))
            buckets = [bucket for bucket in hold.buckets if bucket.key in more]
            result = self._judge(hold.call.id, buckets, more)
            if result.refusal is None and more:
                self._add_to(held, more)
                usd = max(held.charge.usd, hold.charge.usd)
                held.charge = Charge(usd, max(held.charge.tokens, hold.charge.tokens))
            return result

    def _add_to(self, held: _Held, more: Mapping[str, int]) -> None:
        for key, amount in more.items():
            count = self._counts[key]
            count.held += amount
            count.holds += key not in held.amounts
        held.amounts = raised(held.amounts, more)

    def renew(self, calls: Sequence[str], until: datetime) -> int:
        """See `Ledger.renew`."""
        with self._changing():
            holding = [self._held[call_id] for call_id in set(calls) if call_id in self._held]
            ending = [held for held in holding if held.lease_until < until]
            for held in ending:
                held.lease_until = _in_utc(until)
            return len(ending)

    def _judge(
        self, call_id: str, buckets: Sequence[Bucket], wanted: Mapping[str, int]
    ) -> HoldResult:
        def standing_of(bucket: Bucket) -> Standing:
            count = self._count_of(bucket, call_id)
            return count.spent, count.held, count.holds

        return judge(buckets, wanted, standing_of)

    def _count_of(self, bucket: Bucket, call_id: str) -> _Count:
        """Return what a bucket counts; a new one has what was spent and what others hold."""
        count = self._counts.get(bucket.key)
        if count is None:
            count = self._counts[bucket.key] = _Count(bucket, self._spent_in(bucket))
            if not starts_at_zero(bucket):
                for held in self._held.values():
                    if _belongs(held.call, bucket) and held.call.id != call_id:
                        self._add_to(held, {bucket.key: held.charge.of(bucket.unit)})
        return count

    def _spent_in(self, bucket: Bucket) -> int:
        if starts_at_zero(bucket):
            return 0
        entries = (line.entry for line in _between(self._lines, bucket.starts_at, bucket.resets_at))
        return sum(
            charge_of(entry.outcome).of(bucket.unit)
            for entry in entries
            if _belongs(entry.call, bucket)
        )

    def settle(self, call: Call, outcome: Outcome) -> Settled | None:
        """See `Ledger.settle`.

        The garbage collector may end an abandoned stream in the middle of another verb of the same
        thread. Such a call is settled when that verb is through, and counted as settled here.
        """
        with _lock:
            if self._busy:
                self._deferred.append((call, outcome))
                return Settled({})
            with self._changing():
                return self._settle(call, outcome)

    def _settle(self, call: Call, outcome: Outcome) -> Settled | None:
        true, held = charge_of(outcome), self._take_hold(call.id)
        if held is not None:
            charges = {key: true.of(self._counts[key].bucket.unit) for key in held.amounts}
            self._add_entry(call, outcome, charges)
            return Settled({key: self._counts[key].spent for key in charges})
        earlier = self._known.get((call.id, False))
        if earlier is None:
            return Settled({}) if self._add_entry(call, outcome, {}) else None
        before = earlier.entry.outcome
        if before.status is not Status.LOST:
            return None
        changes = {
            key: true.of(self._counts[key].bucket.unit) - charged
            for key, charged in earlier.charges.items()
            if key in self._counts
        }
        correction = found_again(outcome, before.cost, before.usage.trust)
        return Settled({}) if self._add_entry(call, correction, changes) else None

    def record(self, call: Call, outcome: Outcome, buckets: Sequence[Bucket]) -> bool:
        """See `Ledger.record`."""
        with self._changing():
            if self._knows(call.id):
                return False
            charge = charge_of(outcome)
            for bucket in buckets:
                self._count_of(bucket, call.id)
            charges = {bucket.key: charge.of(bucket.unit) for bucket in buckets}
            return self._add_entry(call, outcome, charges)

    def release(self, call_id: str) -> bool:
        """See `Ledger.release`."""
        with self._changing():
            return self._take_hold(call_id) is not None

    def correct(self, entry: Entry, outcome: Outcome) -> bool:
        """See `Ledger.correct`."""
        with self._changing():
            found = self._known.get((entry.call.id, False))
            if found is None:
                return False
            counting = [key for key in found.charges if self._counts_usd(key)]
            same = replace(entry.call, id=repriced_id(entry.call.id, outcome.fingerprint))
            return self._add_entry(same, outcome, dict.fromkeys(counting, outcome.cost))

    def _knows(self, call_id: str) -> bool:
        return call_id in self._held or any((call_id, c) in self._known for c in (False, True))

    def _take_hold(self, call_id: str) -> _Held | None:
        held = self._held.pop(call_id, None)
        if held is not None:
            for key, amount in held.amounts.items():
                self._counts[key].held -= amount
                self._counts[key].holds -= 1
        return held

    def _add_entry(self, call: Call, outcome: Outcome, charges: Mapping[str, int]) -> bool:
        """Write an entry and charge its buckets, unless it is there already."""
        identity = (call.id, outcome.status is Status.CORRECTION)
        if identity in self._known:
            return False
        finished = _in_utc(outcome.finished_at)
        done = replace(outcome, finished_at=finished, lines=tuple(outcome.lines))
        line = _Line(micros(call.at), Entry(_normal(call), done), charges)
        self._known[identity] = line
        insort(self._lines, line, key=_when)
        for key, charged in charges.items():
            self._counts[key].spent += charged
        return True

    def record_refusal(self, call: Call, refusal: Refusal) -> None:
        """See `Ledger.record_refusal`."""
        same, outcome = refused(call, refusal)
        with self._changing():
            if not self._add_entry(same, outcome, {}):
                line = self._known[same.id, False]
                line.entry = replace(line.entry, count=line.entry.count + 1)

    def learn(self, model: str, measure: str, ratio: int) -> Learned:
        """See `Ledger.learn`."""
        with self._changing():
            before = self._learned.get((model, measure), Learned(ratio, 0))
            learned = Learned(max(before.ratio, ratio), before.seen + 1)
            self._learned[model, measure] = learned
            return learned

    def learned(self) -> dict[tuple[str, str], Learned]:
        """See `Ledger.learned`."""
        with _lock:
            return dict(self._learned)

    def sweep(self, now: datetime) -> int:
        """See `Ledger.sweep`."""
        with self._changing():
            return self._sweep(now)

    def _sweep(self, now: datetime) -> int:
        ended = [held for held in self._held.values() if held.lease_until <= now]
        for held in sorted(ended, key=lambda held: (held.lease_until, held.call.id)):
            self._take_hold(held.call.id)
            self._add_entry(held.call, lost(held.charge.usd, now), held.amounts)
        return len(ended)

    def holds(self) -> list[OpenHold]:
        """See `Ledger.holds`."""
        with _lock:
            found = [
                OpenHold(held.call, held.charge, held.amounts, held.lease_until, held.owner)
                for held in list(self._held.values())
            ]
        return sorted(found, key=lambda held: (held.call.at, held.call.id))

    def _counts_usd(self, key: str) -> bool:
        # The bucket of a block goes when the block is over.
        return key in self._counts and self._counts[key].bucket.unit is Unit.USD

    def standing(self, buckets: Sequence[str]) -> dict[str, tuple[int, int]]:
        """See `Ledger.standing`."""
        with _lock:
            counts = {key: self._counts[key] for key in buckets if key in self._counts}
            return {key: (count.spent, count.held) for key, count in counts.items()}

    def drop(self, bucket: str) -> bool:
        """See `Ledger.drop`."""
        with self._changing():
            count = self._counts.get(bucket)
            if count is None or count.holds:
                return False
            del self._counts[bucket]
            return True

    def tell(self, bucket: str, threshold: str, at: datetime, payload: str = "") -> bool:
        """See `Ledger.tell`."""
        with self._changing():
            if (bucket, threshold) in self._told:
                return False
            self._told.add((bucket, threshold))
            if payload:
                when = _in_utc(at)
                self._alerts[bucket, threshold] = Alert(bucket, threshold, when, payload, when)
            return True

    def claim_alert(
        self, now: datetime, until: datetime, *, since: datetime | None = None
    ) -> Alert | None:
        """See `Ledger.claim_alert`."""
        with self._changing():
            due = [alert for alert in self._waiting(since) if alert.due_at <= now]
            if not due:
                return None
            first = min(due, key=lambda alert: alert.due_at)
            return self._put(replace(first, due_at=_in_utc(until), tries=first.tries + 1))

    def alert_sent(self, alert: Alert, at: datetime) -> None:
        """See `Ledger.alert_sent`."""
        with self._changing():
            known = self._alerts.get((alert.bucket, alert.threshold))
            if known is not None:
                self._put(replace(known, sent_at=_in_utc(at), failure=""))

    def alert_failed(self, alert: Alert, again: datetime, failure: str) -> None:
        """See `Ledger.alert_failed`."""
        with self._changing():
            known = self._alerts.get((alert.bucket, alert.threshold))
            if known is not None and known.sent_at is None:
                self._put(replace(known, due_at=_in_utc(again), failure=failure))

    def next_alert(self, since: datetime | None = None) -> datetime | None:
        """See `Ledger.next_alert`."""
        with _lock:
            return min((alert.due_at for alert in self._waiting(since)), default=None)

    def alerts(self) -> list[Alert]:
        """See `Ledger.alerts`."""
        with _lock:
            found = list(self._alerts.values())
        return sorted(found, key=lambda alert: (alert.at, alert.bucket, alert.threshold))

    def _waiting(self, since: datetime | None) -> list[Alert]:
        return [
            alert
            for alert in self._alerts.values()
            if alert.sent_at is None and (since is None or alert.at >= since)
        ]

    def _put(self, alert: Alert) -> Alert:
        self._alerts[alert.bucket, alert.threshold] = alert
        return alert

    def budgets(self) -> dict[BudgetKey, Budget | None]:
        """See `Ledger.budgets`."""
        with _lock:
            return dict(sorted(self._budgets.items(), key=lambda item: item[0]))

    def set_budget(self, key: BudgetKey, budget: Budget | None, *, who: str, at: datetime) -> None:
        """See `Ledger.set_budget`."""
        with self._changing():
            before = self._words(key)
            self._budgets[key] = budget
            self._note(key, who, at, before)

    def unset_budget(self, key: BudgetKey, *, who: str, at: datetime) -> bool:
        """See `Ledger.unset_budget`."""
        with self._changing():
            if key not in self._budgets:
                return False
            before = self._words(key)
            del self._budgets[key]
            self._note(key, who, at, before)
            return True

    def _words(self, key: BudgetKey) -> str:
        return in_words(self._budgets[key]) if key in self._budgets else ""

    def _note(self, key: BudgetKey, who: str, at: datetime, before: str) -> None:
        change = change_of(key, who, _in_utc(at), before, self._words(key))
        self._changes.append(change)

    def changes(self) -> list[Change]:
        """See `Ledger.changes`."""
        with _lock:
            return list(self._changes)

    def revision(self) -> int:
        """See `Ledger.revision`."""
        with _lock:
            return len(self._changes)

    def entries(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Entry]:
        """See `Ledger.entries`."""
        with _lock:
            lines = list(self._lines)
        for line in _between(lines, since, until):
            yield line.entry

    def used(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Used]:
        """See `Ledger.used`."""
        for entry in self.entries(since=since, until=until):
            call, done = entry.call, entry.outcome
            lines = done.lines if done.status is Status.CORRECTION else ()
            who = call.model, call.requested, done.served, call.provider, call.labels
            yield Used(call.at, done.status, *who, done.usage.to_counts(), done.cost, lines)

    def totals(
        self,
        by: Sequence[str],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Total]:
        """See `Ledger.totals`."""
        check_groups(by)
        first, after = span = slot_span(since, until)
        by_day = kept(by, span, self._days) is Kept.BY_PERSON
        with _lock:
            lines = list(self._lines)
        found: dict[tuple[str, ...], list[int]] = {} if by else {(): [0] * 10}
        for line in lines:
            at = line.entry.call.at
            slot = self._days.start_of(at) if by_day else line.at - line.at % SLOT
            if first <= slot < after:
                group = tuple(_value(line.entry, name, slot) for name in by)
                sums = found.get(group, [0] * 10)
                found[group] = [a + b for a, b in zip(sums, _summands(line.entry), strict=True)]
        return [Total(group, *found[group]) for group in sorted(found)]

    def statuses(self, now: datetime, *, sweep: bool = True) -> list[BucketState]:
        """See `Ledger.statuses`."""
        with self._changing():
            if sweep:
                self._sweep(now)
            states = [
                _state_of(count) for count in self._counts.values() if _covers(count.bucket, now)
            ]
        return sorted(
            states, key=lambda state: (state.pattern, state.scope, state.period, state.key)
        )

    def exists(self) -> bool:
        """See `Ledger.exists`."""
        return True

    def close(self) -> None:
        """See `Ledger.close`. What was written stays as long as the object does."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _when(line: _Line) -> int:
    return line.at


def _between(lines: list[_Line], since: datetime | None, until: datetime | None) -> list[_Line]:
    start = bisect_left(lines, micros(since), key=_when) if since else 0
    end = bisect_left(lines, micros(until), key=_when) if until else None
    return lines[start:end]


def _in_utc(instant: datetime) -> datetime:
    # Not by astimezone, which takes a time without a zone for one of this machine's.
    return instant if instant.tzinfo is UTC else from_micros(micros(instant))


def _normal(call: Call) -> Call:
    return call if call.at.tzinfo is UTC else replace(call, at=_in_utc(call.at))


def _covers(bucket: Bucket, instant: datetime) -> bool:
    return (bucket.starts_at is None or bucket.starts_at <= instant) and (
        bucket.resets_at is None or instant < bucket.resets_at
    )


def _belongs(call: Call, bucket: Bucket) -> bool:
    facts = {**call.labels.values, "model": call.model, "provider": call.provider}
    return bucket.match.items() <= facts.items() and _covers(bucket, call.at)


def _state_of(count: _Count) -> BucketState:
    bucket = count.bucket
    sums = count.spent, count.held, count.holds
    facts = bucket.key, bucket.scope, bucket.budget.scope, bucket.budget.per, bucket.resets_at
    return BucketState(*facts, *sums, bucket.unit)


def _value(entry: Entry, name: str, slot: int) -> str:
    if name == "slot":
        return from_micros(slot).isoformat()
    if name == "status":
        return entry.outcome.status
    if name in {"model", "provider"}:
        return str(getattr(entry.call, name))
    return entry.call.labels.values.get(name, "")


def _summands(entry: Entry) -> tuple[int, ...]:
    """Return what an entry adds to the numbers of a `Total`."""
    status, count = entry.outcome.status, entry.count
    calls = 0 if status in NO_CALL else count
    refused_ = count if status is Status.REFUSED else 0
    cached = count if status is Status.CACHED else 0
    return (calls, refused_, cached, *sums_of(entry.outcome)[1:])
