"""What every store decides the same way. Pure: no store, no clock."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from pydantic_core import to_json

from llmcost_plugins.budgets import Action, Bucket, Budget, BudgetKey
from llmcost_plugins.errors import Refusal
from llmcost_plugins.ledger.base import (
    NO_CALL,
    Call,
    Change,
    Charge,
    Hold,
    HoldResult,
    Outcome,
    Status,
)
from llmcost_plugins.ledger.slots import micros
from llmcost_plugins.usage import Trust, Usage

_MINUTE: Final = 60 * 1_000_000
_INEXACT: Final = frozenset({Trust.ESTIMATED, Trust.INCONSISTENT})
_NOT_SENT: Final = NO_CALL | {Status.CACHED}
_START_AT_ZERO: Final = frozenset({"run", "session", "block"})

Standing = tuple[int, int, int]
"""What a bucket has spent, what it holds, and for how many calls."""


def dump(value: object) -> str:
    """Return a value as compact JSON, with its text readable.

    Raises:
        ValueError: a text in it has no UTF-8 form.
    """
    # Not `json`: a call has six small values, of which each takes that five times as long.
    return to_json(value).decode()


def charge_of(outcome: Outcome) -> Charge:
    """Return what budgets count of a call's outcome: nothing of what a cache has answered."""
    requests = 0 if outcome.status in _NOT_SENT else 1
    if outcome.status is Status.CACHED:
        return Charge(outcome.cost, 0, requests)
    usage = outcome.usage
    return Charge(outcome.cost, usage.prompt_tokens + usage.completion_tokens, requests)


def sums_of(outcome: Outcome) -> tuple[int, ...]:
    """Return what an entry adds to totals: calls, cost, saved, fallback_saved, …, as in `Total`."""
    usage = outcome.usage
    # The cost of a correction is a difference, which says nothing about another model.
    compared = outcome.preferred_cost is not None and outcome.status is not Status.CORRECTION
    return (
        1,
        outcome.cost,
        outcome.saved,
        (outcome.preferred_cost or 0) - outcome.cost if compared else 0,
        usage.prompt_tokens,
        usage.completion_tokens,
        (usage.trust in _INEXACT) - (outcome.mends in _INEXACT),
        (usage.trust is Trust.UNPRICED) - (outcome.mends is Trust.UNPRICED),
    )


def starts_at_zero(bucket: Bucket) -> bool:
    """Tell whether a new bucket is empty, whatever its period has spent."""
    return not _START_AT_ZERO.isdisjoint(bucket.match)


def wanted_of(hold: Hold) -> dict[str, int]:
    """Return how much a hold sets aside in each bucket."""
    return {bucket.key: hold.charge.of(bucket.unit) for bucket in hold.buckets}


def more_than(held: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, int]:
    """Return how much more than *held* is wanted in each bucket, those to be joined included."""
    return {key: n - held.get(key, 0) for key, n in wanted.items() if n > held.get(key, -1)}


def raised(held: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Return what a call holds in each bucket once it has *more*."""
    return {**held, **{key: held.get(key, 0) + n for key, n in more.items()}}


def judge(
    buckets: Sequence[Bucket], wanted: Mapping[str, int], standing_of: Callable[[Bucket], Standing]
) -> HoldResult:
    """Tell whether so much more fits in every bucket; each is asked for its standing once."""
    refusals: list[Refusal] = []
    warnings: list[Refusal] = []
    for bucket in buckets:
        spent, held, holds = standing_of(bucket)
        needed = wanted[bucket.key]
        # A call that costs nothing fits even when the money is gone.
        if needed and spent + held + needed > bucket.limit:
            refusal = _refusal(bucket, spent, held, holds, needed)
            only_warns = bucket.budget.on_exceed is Action.WARN
            (warnings if only_warns else refusals).append(refusal)
    if not refusals:
        return HoldResult(warnings=warnings)
    # What waiting cannot solve is the better reason.
    worst = min(refusals, key=lambda refusal: refusal.only_holds_stand_in_the_way)
    fall_back = all(refusal.may_fall_back for refusal in refusals)
    return HoldResult(refusal=replace(worst, may_fall_back=fall_back))


def period_in_words(bucket: Bucket) -> str:
    """Return what a bucket's budget is per, for people: runs and blocks have no calendar."""
    own = (key for key in ("run", "block") if key in bucket.match)
    return next(own, bucket.budget.per.value)


def _refusal(bucket: Bucket, spent: int, held: int, holds: int, needed: int) -> Refusal:
    return Refusal(
        scope=bucket.scope,
        period=period_in_words(bucket),
        limit=bucket.limit,
        spent=spent,
        held=held,
        holds=holds,
        needed=needed,
        resets_at=bucket.resets_at,
        may_fall_back=bucket.budget.on_exceed is Action.FALLBACK,
        unit=bucket.unit.value,
    )


def lost(cost: int, now: datetime) -> Outcome:
    """Return the outcome of a call whose lease has ended: nobody knows what it used."""
    detail = "its process ended, or never said how the call did"
    return Outcome(Status.LOST, Usage(trust=Trust.ESTIMATED), cost, now, detail=detail)


def found_again(outcome: Outcome, lost_cost: int, lost_trust: Trust) -> Outcome:
    """Return the correction of a lost entry by the true outcome of its call."""
    return replace(
        outcome,
        status=Status.CORRECTION,
        cost=outcome.cost - lost_cost,
        detail=f"{outcome.status} after its hold was counted as lost",
        mends=lost_trust,
    )


def refused(call: Call, refusal: Refusal) -> tuple[Call, Outcome]:
    """Return the entry of a refusal; those that are written as one entry share its id."""
    detail = f"budget {refusal.scope} per {refusal.period}"
    outcome = Outcome(Status.REFUSED, Usage(), 0, call.at, detail=detail)
    shared = (
        refusal.scope,
        refusal.period,
        call.model,
        call.provider,
        sorted(call.labels.values.items()),
        micros(call.at) // _MINUTE,
    )
    # Not with `dump`: whatever the model is called, its refusal must not fail.
    name = json.dumps(shared, separators=(",", ":"), ensure_ascii=False)
    return replace(call, id=f"refused|{name}"), outcome


def in_words(budget: Budget | None) -> str:
    """Return a budget that was set as the audit shows it."""
    return "none" if budget is None else str(budget)


def change_of(key: BudgetKey, who: str, at: datetime, before: str, after: str) -> Change:
    """Return the line of the audit for a budget."""
    return Change(at, who, f"budget {key.scope} per {key.per} in {key.unit}", before, after)
