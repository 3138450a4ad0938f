"""Whether a call would fit the budgets, asked without holding anything."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

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


def _words(bucket: Bucket, spent: int, held: int) -> str:
    def show(count: int) -> str:
        return format_count(count, bucket.unit)

    return (
        f"budget {bucket.scope!r} per {bucket.budget.per}: {show(spent)} spent and {show(held)} "
        f"held of {show(bucket.limit)}"
    )
