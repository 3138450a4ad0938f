"""Rows of the SQLite ledger to facts, and back."""

import json
from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from llmcost_plugins.budgets import Budget, Unit
from llmcost_plugins.labels import Labels
from llmcost_plugins.ledger.base import (
    Alert,
    BucketState,
    Call,
    Charge,
    Entry,
    OpenHold,
    Outcome,
    Status,
    Total,
    Used,
)
from llmcost_plugins.ledger.rules import dump, sums_of
from llmcost_plugins.ledger.slots import Days, from_micros, micros, slot_of
from llmcost_plugins.periods import Period
from llmcost_plugins.pricing.cost import Line, parse_unit_price, unit_price
from llmcost_plugins.usage import Trust, Usage

Row = tuple[Any, ...]
# `used` reads millions of rows: a name is looked up in a third of the time that its class takes,
# and what was written without a space is decoded in half of the time of `json.loads`.
_decode: Final = json.JSONDecoder().raw_decode
_STATUSES: Final = {status.value: status for status in Status}


def call_row(call: Call) -> Row:
    """Return at, model, requested, provider, run, labels, tags."""
    return (
        micros(call.at),
        call.model,
        call.requested,
        call.provider,
        call.run,
        dump(dict(call.labels.values)) if call.labels.values else "{}",
        dump(call.labels.tags) if call.labels.tags else "[]",
    )


def call_from(call_id: str, row: Row) -> Call:
    """Rebuild a call from the columns of `call_row`."""
    at, model, requested, provider, run, labels, tags = row
    known = _labels_from(labels, tags)
    return Call(call_id, from_micros(at), model, requested, provider, known, run)


@lru_cache(maxsize=4096)
def _labels_from(labels: str, tags: str) -> Labels:
    return Labels(MappingProxyType(json.loads(labels)), tuple(json.loads(tags)))


def used_from(row: Row) -> Used:
    """Return what a row of the query ``used_after`` says."""
    _, at, status, model, requested, served, provider, labels, tags, usage, cost, prices = row
    lines = _lines_from_json(json.loads(prices)) if prices else ()
    who = model, requested, served, provider, _labels_from(labels, tags)
    return Used(from_micros(at), _STATUSES[status], *who, _decode(usage)[0], cost, lines)


def entry_row(call: Call, outcome: Outcome, buckets: str) -> Row:
    """Return the columns of a new entry; *buckets* is a JSON object of keys and charges."""
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
        dump(_lines_to_json(outcome.lines)),
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
        lines=_lines_from_json(json.loads(prices)),
        mends=Trust(mends) if mends else None,
    )
    call = call_from(call_id, (at, model, requested, provider, run, labels, tags))
    return Entry(call, outcome, count)


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as plain values."""
    return {
        "status": outcome.status,
        "usage": outcome.usage.to_counts(),
        "trust": outcome.usage.trust,
        "cost": outcome.cost,
        "finished_at": micros(outcome.finished_at),
        "served": outcome.served,
        "saved": outcome.saved,
        "preferred_model": outcome.preferred_model,
        "preferred_cost": outcome.preferred_cost,
        "fingerprint": outcome.fingerprint,
        "detail": outcome.detail,
        "lines": _lines_to_json(outcome.lines),
        "mends": outcome.mends,
    }


def outcome_from_json(facts: dict[str, Any]) -> Outcome:
    """Read what `outcome_to_json` has written."""
    return Outcome(
        status=Status(facts["status"]),
        usage=Usage.from_counts(facts["usage"], Trust(facts["trust"])),
        cost=facts["cost"],
        finished_at=from_micros(facts["finished_at"]),
        served=facts["served"],
        saved=facts["saved"],
        preferred_model=facts["preferred_model"],
        preferred_cost=facts["preferred_cost"],
        fingerprint=facts["fingerprint"],
        detail=facts["detail"],
        lines=_lines_from_json(facts["lines"]),
        mends=Trust(facts["mends"]) if facts["mends"] else None,
    )


def _lines_to_json(lines: Sequence[Line]) -> dict[str, tuple[int, str]]:
    return {line.meter: (line.quantity, unit_price(line.rate)) for line in lines}


def _lines_from_json(lines: dict[str, Any]) -> tuple[Line, ...]:
    return tuple(
        Line(meter, quantity, parse_unit_price(price)) for meter, (quantity, price) in lines.items()
    )


def totals_rows(call: Call, outcome: Outcome, days: Days) -> tuple[Row, Row]:
    """Return what an entry adds to the sums by slot and to those by person."""
    labels = call.labels.values
    sums = sums_of(outcome)
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
    key, scope, pattern, period, resets, spent, held, holds, unit = row
    resets_at = None if resets is None else from_micros(resets)
    per = Period(period)
    return BucketState(key, scope, pattern, per, resets_at, spent, held, holds, Unit(unit))


def open_hold_from(row: Row) -> OpenHold:
    """Rebuild a hold from a row of the query ``open_holds``."""
    call_id, amount, tokens, lease, owner, buckets = row[:6]
    call = call_from(call_id, row[6:])
    charge = Charge(amount, tokens)
    return OpenHold(call, charge, json.loads(buckets), from_micros(lease), owner)


def budget_row(budget: Budget | None) -> str | None:
    """Return a budget as JSON; `None` for the word that a scope has none."""
    if budget is None:
        return None
    return dump(
        {
            "scope": budget.scope,
            "limit": str(budget.limit),
            "per": budget.per,
            "on_exceed": budget.on_exceed,
            "unit": budget.unit,
            "warn_at": [str(share) for share in budget.warn_at],
            "degrade_at": None if budget.degrade_at is None else str(budget.degrade_at),
        }
    )


def budget_from(text: str | None) -> Budget | None:
    """Read what `budget_row` has written."""
    return None if text is None else Budget(**json.loads(text))


def alert_from(row: tuple[Any, ...]) -> Alert:
    """Return the alert that a row of ``alerts`` stands for."""
    bucket, threshold, at, payload, sent_at, due_at, tries, failure = row
    sent = None if sent_at is None else from_micros(sent_at)
    when, due = from_micros(at), from_micros(due_at)
    return Alert(bucket, threshold, when, payload, due, tries, sent, failure)
