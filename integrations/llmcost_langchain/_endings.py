"""What `CostMiddleware` says when a limit ends a run."""

from decimal import Decimal
from typing import Any, Final

from llmcost_plugins.errors import BudgetExceeded, ConfigurationError
from llmcost_plugins.money import count_string, format_count, usd_to_nano

RUN_SCOPE: Final = "run_limit"
THREAD_SCOPE: Final = "thread_limit"

_OURS: Final = {
    RUN_SCOPE: ("the limit for this run", "raise run_limit"),
    THREAD_SCOPE: (
        "the limit for this conversation",
        "raise thread_limit, begin a new conversation",
    ),
}


def usd_limit(name: str, value: Decimal | str | int | None) -> int | None:
    """Return a limit in nano-dollars.

    Raises:
        ConfigurationError: it is not an amount of money, or negative.
    """
    if value is None:
        return None
    if isinstance(value, float):
        msg = f"{name}={value!r} is a float, which has no exact value; write it as '{value}'"
        raise ConfigurationError(msg)
    if isinstance(value, bool) or not isinstance(value, Decimal | str | int):
        msg = f"{name}={value!r} is not an amount in USD such as '0.50'"
        raise ConfigurationError(msg)
    try:
        nano = usd_to_nano(value)
    except ArithmeticError as error:
        msg = f"{name}: {error}"
        raise ConfigurationError(msg) from None
    if nano < 0:
        msg = f"{name}={str(value)!r} is negative; use 0 to stop all calls, or None for no limit"
        raise ConfigurationError(msg)
    return nano


def ending_text(error: BudgetExceeded) -> str:
    """Say in plain words which limit has ended a run, how it stands, and what to do."""
    refusal = error.refusal

    def show(count: int) -> str:
        return format_count(count, refusal.unit)

    what, remedy = _OURS.get(
        refusal.scope,
        (f"the budget {refusal.scope!r} per {refusal.period}", "raise that budget"),
    )
    left = max(0, refusal.limit - refusal.spent - refusal.held)
    held = f", {show(refusal.held)} set aside for calls in flight" if refusal.held else ""
    resets = f" It resets at {refusal.resets_at.isoformat()}." if refusal.resets_at else ""
    return (
        f"I have to stop here: {what} is {show(refusal.limit)}, and the next step may cost up to "
        f"{show(refusal.needed)}, but only {show(left)} is left ({show(refusal.spent)} spent"
        f"{held}).{resets} To go on, {remedy}, or ask for something smaller."
    )


def facts_of(error: BudgetExceeded) -> dict[str, Any]:
    """Return the same for programs; JSON-safe."""
    refusal = error.refusal

    def plain(count: int) -> str:
        return count_string(count, refusal.unit)

    return {
        "scope": refusal.scope,
        "unit": refusal.unit,
        "limit": plain(refusal.limit),
        "spent": plain(refusal.spent),
        "held": plain(refusal.held),
        "needed": plain(refusal.needed),
        "model": error.model,
    }
