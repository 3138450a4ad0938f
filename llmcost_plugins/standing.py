"""Whether a call would fit the budgets, asked without holding anything."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from llmcost_plugins.budgets import Action, Bucket, BudgetBook, Unit, parse_subject
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.money import format_count, usd_to_nano


@dataclass(frozen=True, slots=True)
class Decision:
    """What the budgets say of a call.

    Attributes:
        allowed: whether it would be let through.
        reason: why not, in words; empty when it would.
        action: what would happen to it: of the budgets that it does not fit, the strictest.
        warning: what its budgets would warn of; empty for nothing.
    """

    allowed: bool
    reason: str = ""
    action: Action | None = None
    warning: str = ""


def decide(
    ledger: Ledger, book: BudgetBook, scope: str, estimate: Decimal | str | int, now: datetime
) -> Decision:
    """Judge a call of *scope* that costs *estimate* USD at most, as a hold would at that instant.

    Raises:
        ConfigurationError: the scope or the amount cannot be used.
        LedgerUnavailable: the ledger cannot be read.
    """
    try:
        needed = usd_to_nano(estimate)
    except ArithmeticError as error:
        raise ConfigurationError(str(error)) from None
    buckets = book.buckets(parse_subject(scope), now)
    # A question does not make a ledger where there is none.
    states = ledger.standing([b.key for b in buckets]) if ledger.exists() else {}
    refused: list[Bucket] = []
    warned: list[str] = []
    for bucket in buckets:
        spent, held = states.get(bucket.key, (0, 0))
        count = needed if bucket.unit is Unit.USD else int(bucket.unit is Unit.REQUESTS)
        over = bool(count) and spent + held + count > bucket.limit
        if over and bucket.budget.on_exceed is not Action.WARN:
            refused.append(bucket)
        reached = [share for share in bucket.budget.warn_at if spent >= share * bucket.limit]
        if over or reached:
            warned.append(_words(bucket, spent, held))
    if not refused:
        return Decision(allowed=True, warning="; ".join(warned))
    strict = any(bucket.budget.on_exceed is Action.RAISE for bucket in refused)
    action = Action.RAISE if strict else Action.FALLBACK
    reasons = [_words(bucket, *states.get(bucket.key, (0, 0))) for bucket in refused]
    return Decision(
        allowed=False, reason="; ".join(reasons), action=action, warning="; ".join(warned)
    )


class Left(NamedTuple):
    """What is left of a bucket.

    Attributes:
        scope: its scope with its value, e.g. ``user:u1``.
        budget: the scope of its budget, e.g. ``user:*``.
        part: the part of the limit that is neither spent nor held, from 0 to 1.
    """

    scope: str
    budget: str
    part: Fraction


def parts_left(ledger: Ledger, buckets: Iterable[Bucket]) -> list[Left]:
    """Say what is left of each bucket; holds nothing.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    by_key = {bucket.key: bucket for bucket in buckets}
    states = ledger.standing(list(by_key)) if by_key and ledger.exists() else {}
    return [
        Left(bucket.scope, bucket.budget.scope, _part_left(bucket.limit, sum(states.get(key, ()))))
        for key, bucket in by_key.items()
    ]


def is_degraded(ledger: Ledger, buckets: Iterable[Bucket]) -> bool:
    """Tell whether a bucket is filled to the part from which routers prefer cheaper models.

    Raises:
        LedgerUnavailable: the ledger cannot be read.
    """
    degrading = [bucket for bucket in buckets if bucket.budget.degrade_at is not None]
    states = ledger.standing([bucket.key for bucket in degrading])
    return any(
        sum(states.get(bucket.key, ())) >= (bucket.budget.degrade_at or 1) * bucket.limit
        for bucket in degrading
    )


def _part_left(limit: int, taken: int) -> Fraction:
    return Fraction(max(limit - taken, 0), limit) if limit else Fraction(0)


def _words(bucket: Bucket, spent: int, held: int) -> str:
    def show(count: int) -> str:
        return format_count(count, bucket.unit)

    return (
        f"budget {bucket.scope!r} per {bucket.budget.per}: {show(spent)} spent and {show(held)} "
        f"held of {show(bucket.limit)}"
    )
