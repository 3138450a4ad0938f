"""Rows of the SQLite ledger to facts, and back."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from types import MappingProxyType
from typing import Any, Final

from llmcost_plugins.errors import Refusal
from llmcost_plugins.labels import Labels
from llmcost_plugins.ledger.base import BucketState, Call, Entry, Outcome, Status, Total
from llmcost_plugins.periods import Period, window
from llmcost_plugins.pricing.cost import Line, parse_unit_price, unit_price
from llmcost_plugins.usage import Trust, Usage

FOREVER: Final = 2**62
SLOT: Final = 30 * 60 * 1_000_000
_MINUTE: Final = 60 * 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_INEXACT: Final = frozenset({Trust.ESTIMATED, Trust.INCONSISTENT})

Row = tuple[Any, ...]


def micros(instant: datetime) -> int:
    """Return microseconds since 1970 UTC, exactly (a float timestamp is not exact)."""
    return (instant - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """Return the instant in UTC."""
    return _EPOCH + value * _MICROSECOND


def slot_of(instant: datetime) -> int:
    """Return the start of the half hour in microseconds."""
    at = micros(instant)
    return at - at % SLOT


class Days:
    """The days of a time zone; remembers the last one, since most calls are of the same."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._last = window(Period.DAY, _EPOCH, zone)

    def start_of(self, instant: datetime) -> int:
        """Return the start of the day that contains *instant*, in microseconds."""
        day = self._last
        if instant not in day:
            day = self._last = window(Period.DAY, instant, self._zone)
        assert day.start is not None  # noqa: S101 - only Period.TOTAL has none
        return micros(day.start)


# Compact, and text stays readable. One encoder: `json.dumps` would make a new one each time.
dump: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def call_row(call: Call) -> Row:
    """Return at, model, requested, provider, run, labels, tags."""
    return (
        micros(call.at),
        call.model,
        call.requested,
        call.provider,
        call.run,
        dump(dict(call.labels.values)),
        dump(call.labels.tags),
    )


def call_from(call_id: str, row: Row) -> Call:
    """Rebuild a call from the columns of `call_row`."""
    at, model, requested, provider, run, labels, tags = row
    known = Labels(MappingProxyType(json.loads(labels)), tuple(json.loads(tags)))
    return Call(call_id, from_micros(at), model, requested, provider, known, run)


def refusal_id(call: Call, refusal: Refusal) -> str:
    """Return the id that all refusals share which are written as one entry."""
    shared = (
        refusal.scope,
        refusal.period,
        call.model,
        call.provider,
        sorted(call.labels.values.items()),
        micros(call.at) // _MINUTE,
    )
    return f"refused|{dump(shared)}"


def entry_row(call: Call, outcome: Outcome, buckets: str) -> Row:
    """Return the columns of a new entry; *buckets* is a JSON array of keys."""
    at, model, requested, provider, run, labels, tags = call_row(call)
    return (
        call.id,
        at,
        micros(outcome.finished_at),
        outcome.status,
        outcome.usage.trust,
        model,
        requested,
        outcome.served,
        provider,
        run,
        labels,
        tags,
        dump(outcome.usage.to_counts()),
        outcome.cost,
        outcome.saved,
        outcome.preferred_model,
        outcome.preferred_cost,
        outcome.fingerprint,
        outcome.detail,
        buckets,
        dump({line.meter: (line.quantity, unit_price(line.rate)) for line in outcome.lines}),
        outcome.mends or "",
        outcome.usage.prompt_tokens,
        outcome.usage.completion_tokens,
    )


def entry_from(row: Row) -> Entry:
    """Rebuild an entry from a row of the query ``entries_after``, without its first column."""
    (
        call_id,
        at,
        finished,
        status,
        trust,
        model,
        requested,
        served,
        provider,
        run,
        labels,
        tags,
    ) = row[:12]
    usage, cost, saved, preferred, preferred_cost, fingerprint, detail, count = row[12:20]
    prices, mends = row[20:]
    outcome = Outcome(
        status=Status(status),
        usage=Usage.from_counts(json.loads(usage), Trust(trust)),
        cost=cost,
        finished_at=from_micros(finished),
        served=served,
        saved=saved,
        preferred_model=preferred,
        preferred_cost=preferred_cost,
        fingerprint=fingerprint,
        detail=detail,
        lines=tuple(
            Line(meter, quantity, parse_unit_price(price))
            for meter, (quantity, price) in json.loads(prices).items()
        ),
        mends=Trust(mends) if mends else None,
    )
    call = call_from(call_id, (at, model, requested, provider, run, labels, tags))
    return Entry(call, outcome, count)


def totals_rows(call: Call, outcome: Outcome, days: Days) -> tuple[Row, Row]:
    """Return what an entry adds to the sums by slot and to those by person."""
    labels = call.labels.values
    usage = outcome.usage
    # The cost of a correction is a difference, which says nothing about another model.
    compared = outcome.preferred_cost is not None and outcome.status is not Status.CORRECTION
    fallback_saved = (outcome.preferred_cost or 0) - outcome.cost if compared else 0
    sums = (
        1,
        outcome.cost,
        outcome.saved,
        fallback_saved,
        usage.prompt_tokens,
        usage.completion_tokens,
        (usage.trust in _INEXACT) - (outcome.mends in _INEXACT),
        (usage.trust is Trust.UNPRICED) - (outcome.mends is Trust.UNPRICED),
    )
    groups = (
        call.model,
        call.provider,
        labels.get("feature", ""),
        labels.get("team", ""),
        labels.get("project", ""),
        outcome.status,
    )
    person = (labels.get("user", ""), labels.get("session", ""), outcome.status)
    return (slot_of(call.at), *groups, *sums), (days.start_of(call.at), *person, *sums)


def total_from(row: Row, by: Sequence[str]) -> Total:
    """Rebuild a total from a row of the query ``sum_totals``."""
    group = tuple(
        from_micros(value).isoformat() if field == "slot" else value
        for field, value in zip(by, row, strict=False)
    )
    return Total(group, *row[len(by) :])


def bucket_state_from(row: Row) -> BucketState:
    """Rebuild a bucket's state from a row of the query ``open_buckets``."""
    key, scope, pattern, period, resets, spent, held, holds = row
    resets_at = None if resets is None else from_micros(resets)
    return BucketState(key, scope, pattern, Period(period), resets_at, spent, held, holds)
