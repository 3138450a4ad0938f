"""Calls, holds, outcomes and sums for the tests of a ledger."""

# ruff: noqa: PLR2004 - a pattern of odd numbers

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from typing import Any, Final

from llmcost_plugins.budgets import Bucket, Budget, BudgetBook, Subject
from llmcost_plugins.errors import Refusal
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import (
    BucketState,
    Call,
    Charge,
    Entry,
    Hold,
    Ledger,
    Outcome,
    Status,
    Total,
)
from llmcost_plugins.money import NANO_PER_USD
from llmcost_plugins.usage import Trust, Usage

NOON: Final = datetime(2026, 3, 10, 12, tzinfo=UTC)
LEASE: Final = timedelta(minutes=15)
USD: Final = NANO_PER_USD
_INEXACT: Final = frozenset({Trust.ESTIMATED, Trust.INCONSISTENT})
_ids = count()


def make_call(
    at: datetime = NOON, *, model: str = "gpt-4o", run: str = "r1", **labels: str
) -> Call:
    """Return a call with an id of its own."""
    return Call(f"call-{next(_ids)}", at, model, model, "openai", make_labels(labels), run)


def buckets_of(call: Call, *budgets: Budget, zone: tzinfo = UTC) -> list[Bucket]:
    """Return the buckets that the call touches, of periods in that time zone."""
    subject = Subject(call.model, call.provider, call.labels, call.run)
    return BudgetBook(budgets, zone).buckets(subject, call.at)


def make_hold(
    call: Call, amount: int, *budgets: Budget, tokens: int = 0, zone: tzinfo = UTC
) -> Hold:
    """Return a hold of so many nano-dollars and tokens in the buckets of the budgets."""
    buckets = buckets_of(call, *budgets, zone=zone)
    return Hold(call, Charge(amount, tokens), buckets, call.at + LEASE, "host:1")


def outcome(cost: int, **facts: Any) -> Outcome:
    """Return how a call went that cost so many nano-dollars."""
    known: dict[str, Any] = {"status": Status.OK, "usage": Usage(input=10, output=2)}
    return Outcome(cost=cost, **{**known, "finished_at": NOON + timedelta(seconds=3), **facts})


def bucket(ledger: Ledger, scope: str, now: datetime = NOON) -> BucketState:
    """Return the one bucket of that scope in the period that contains *now*."""
    (found,) = [state for state in ledger.statuses(now) if state.scope == scope]
    return found


def standing(ledger: Ledger, scope: str, now: datetime = NOON) -> tuple[int, int, int]:
    """Return what the one bucket of that scope has spent, holds, and for how many calls."""
    state = bucket(ledger, scope, now)
    return state.spent, state.held, state.holds


def sums(entries: Iterable[Entry], by: Sequence[str]) -> dict[tuple[str, ...], list[int]]:
    """Add the entries up the slow way, as `Ledger.totals` should."""
    found: dict[tuple[str, ...], list[int]] = {}
    for entry in entries:
        key = tuple(_group(entry, field) for field in by)
        line = found.setdefault(key, [0] * 10)
        for place, value in enumerate(_summands(entry)):
            line[place] += value
    return found


def _summands(entry: Entry) -> tuple[int, ...]:
    done, counted = entry.outcome, entry.outcome.status not in {Status.REFUSED, Status.CORRECTION}
    compared = done.preferred_cost is not None and done.status is not Status.CORRECTION
    return (
        entry.count if counted else 0,
        entry.count if done.status is Status.REFUSED else 0,
        entry.count if done.status is Status.CACHED else 0,
        done.cost,
        done.saved,
        (done.preferred_cost or 0) - done.cost if compared else 0,
        done.usage.prompt_tokens,
        done.usage.completion_tokens,
        (done.usage.trust in _INEXACT) - (done.mends in _INEXACT),
        (done.usage.trust is Trust.UNPRICED) - (done.mends is Trust.UNPRICED),
    )


def _group(entry: Entry, field: str) -> str:
    if field == "model":
        return entry.call.model
    if field == "provider":
        return entry.call.provider
    if field == "status":
        return entry.outcome.status
    if field == "slot":
        at = entry.call.at.astimezone(UTC)
        return at.replace(minute=at.minute // 30 * 30, second=0, microsecond=0).isoformat()
    return entry.call.labels.values.get(field, "")


def as_sums(totals: Iterable[Total]) -> dict[tuple[str, ...], list[int]]:
    """Bring totals into the form of `sums`."""
    return {total.group: list(astuple(total)[1:]) for total in totals}


_BUDGETS: Final = (Budget("global", 10**6), Budget("user:*", 10**6, "day"))


def write_all_sorts(ledger: Ledger, budgets: Sequence[Budget] = _BUDGETS) -> None:
    """Write entries of every status, by several callers, over two days."""
    teams, users, models = ("a", "b", ""), ("u1", "u2"), ("gpt-4o", "gpt-4o-mini")
    for n in range(60):
        labels = {"team": teams[n % 3], "user": users[n % 2], "session": f"s{n % 5}"}
        call = make_call(
            NOON + timedelta(minutes=37 * n),
            model=models[n % 2],
            feature=f"f{n % 4}",
            **{key: value for key, value in labels.items() if value},
        )
        hold = make_hold(call, 1000 + n, *budgets)
        if n % 10 == 7:
            ledger.record_refusal(call, Refusal("global", "total", 1, 1, 0, 0, n, None, True))
            continue
        ledger.hold(hold)
        if n % 10 == 3:
            ledger.sweep(hold.lease_until)
        if n % 20 != 3:
            status = (Status.OK, Status.CACHED, Status.ABORTED, Status.ERROR)[n % 4]
            usage = Usage(input=n, cache_read=1, output=2, audio_out=3, trust=list(Trust)[n % 4])
            facts = (
                {"preferred_model": "gpt-5", "preferred_cost": (0, 5000)[n % 2]} if n % 3 else {}
            )
            ledger.settle(call, outcome(n, status=status, usage=usage, saved=n, **facts))
