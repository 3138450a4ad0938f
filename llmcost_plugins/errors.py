"""Every error of this library, and what to do about it.

The tree::

    LLMCostError
    ├── ConfigurationError      a setting, budget, label or argument is wrong
    │   └── MissingExtra        an optional dependency is not installed
    ├── PriceUnknown            no price is known for a model, and a price is needed
    ├── BudgetExceeded          the call does not fit a budget; nothing was sent
    ├── AllModelsFailed         every candidate of a router was refused or failed
    ├── ModelUnsuitable         a router's model cannot do a call, and the next is asked
    └── LedgerUnavailable       the store of holds and entries cannot be used

All derive from `Exception` directly (a missing extra is an `ImportError`, too), never from
`ValueError`, `RuntimeError` or `BaseException`: frameworks swallow or rewrite those (LlamaIndex
answers "Empty Response" to a `ValueError`).
All can be pickled, so that a worker process can hand them to its parent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from llmcost_plugins.money import format_count, nano_to_usd


class LLMCostError(Exception):
    """The base of all errors raised by this library."""


class ConfigurationError(LLMCostError):
    """A setting or an argument cannot be used; the message names it and shows a good one."""


class MissingExtra(ConfigurationError, ImportError):  # noqa: N818 - the names of the house carry no "Error" suffix
    """An optional dependency is missing; the message says what to install.

    Also an `ImportError`, for code that tries an import and goes on without it.
    """

    @classmethod
    def of(cls, extra: str, module: str) -> Self:
        """Say that *module* is needed and that the extra *extra* brings it."""
        return cls(
            f"{module!r} is not installed. Install it with: pip install 'llmcost-plugins[{extra}]'"
        )


class PriceUnknown(LLMCostError):  # noqa: N818 - see MissingExtra
    """A budget applies to a call whose model has no known price.

    Attributes:
        model: the name as requested.
        reason: why no price was found.
    """

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(
            f"no price is known for the model {model!r} ({reason}) and a budget applies to the "
            f"call. Check the model's name, give it a price or an alias in the file that "
            f"LLMCOST_PRICES names, set LLMCOST_UNKNOWN_MODEL=ceiling:INPUT,OUTPUT (USD "
            f"per million tokens) to hold a stated price, or LLMCOST_UNKNOWN_MODEL=free to let "
            f"such calls pass uncounted."
        )
        self.model = model
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.model, self.reason)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a bucket could not take a hold. Counts are nano-dollars (1e-9 USD), tokens or requests.

    Attributes:
        scope: the budget's scope with its value, e.g. ``user:u1``.
        period: the budget's period, e.g. ``day``; ``run`` or ``block`` for what has none.
        limit: what the bucket may hold and spend together.
        spent: what has been settled.
        held: what is set aside for calls in flight.
        holds: how many calls hold that.
        needed: the estimate of the refused call.
        resets_at: when the bucket's period ends; `None` for ``total`` and ``run``.
        may_fall_back: whether a router may answer with a cheaper model instead.
        unit: what the budget counts: ``usd``, ``tokens`` or ``requests``.
    """

    scope: str
    period: str
    limit: int
    spent: int
    held: int
    holds: int
    needed: int
    resets_at: datetime | None
    may_fall_back: bool
    unit: str = "usd"

    @property
    def only_holds_stand_in_the_way(self) -> bool:
        """True when the call would fit if every call in flight cost nothing."""
        return self.spent + self.needed <= self.limit


class BudgetExceeded(LLMCostError):  # noqa: N818 - see MissingExtra
    """The call was refused before anything was sent, because a budget cannot pay for it.

    Attributes:
        refusal: the numbers, see `Refusal`.
        model: the model that was asked for.
        waited: whether the call has waited for calls in flight before.
    """

    def __init__(self, refusal: Refusal, model: str, *, waited: bool = False) -> None:
        super().__init__(_refusal_text(refusal, model))
        self.refusal = refusal
        self.model = model
        self.waited = waited

    @property
    def scope(self) -> str:
        """The scope of the budget with its value, e.g. ``user:u1``."""
        return self.refusal.scope

    @property
    def period(self) -> str:
        """The period of the budget, e.g. ``day``."""
        return self.refusal.period

    @property
    def limit(self) -> Decimal:
        """The limit, in USD, tokens or requests."""
        return self._shown(self.refusal.limit)

    @property
    def spent(self) -> Decimal:
        """What is spent, in the same unit."""
        return self._shown(self.refusal.spent)

    @property
    def held(self) -> Decimal:
        """What calls in flight hold, in the same unit."""
        return self._shown(self.refusal.held)

    @property
    def needed(self) -> Decimal:
        """The most that this call could have taken, in the same unit."""
        return self._shown(self.refusal.needed)

    @property
    def resets_at(self) -> datetime | None:
        """When the period ends; `None` when it does not."""
        return self.refusal.resets_at

    def _shown(self, count: int) -> Decimal:
        return nano_to_usd(count) if self.refusal.unit == "usd" else Decimal(count)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.refusal, self.model), {"waited": self.waited}


class AllModelsFailed(LLMCostError):  # noqa: N818 - see MissingExtra
    """Every candidate of a router was passed over or failed.

    Attributes:
        reasons: for each candidate in order, its name and why it did not answer.
    """

    def __init__(self, reasons: Sequence[tuple[str, str]]) -> None:
        listed = "; ".join(f"{model!r}: {why}" for model, why in reasons)
        super().__init__(
            f"none of the {len(reasons)} candidate models answered: {listed}. Add a candidate "
            f"that can serve this call, or raise the limit that stands in the way."
        )
        self.reasons = tuple(reasons)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reasons,)


class ModelUnsuitable(LLMCostError):  # noqa: N818 - see MissingExtra
    """A router's model cannot do what this call asks for; the next one is asked."""


class LedgerUnavailable(LLMCostError):  # noqa: N818 - see MissingExtra
    """The ledger cannot be opened, read or written; the message names the file and the remedy."""


def _refusal_text(refusal: Refusal, model: str) -> str:
    def show(count: int) -> str:
        return format_count(count, refusal.unit)

    left = refusal.limit - refusal.spent - refusal.held
    state = f"{show(left)} is left of {show(refusal.limit)}"
    if left < 0:
        state = f"the limit of {show(refusal.limit)} is overdrawn by {show(-left)}"
    state += f" ({show(refusal.spent)} spent"
    if refusal.holds:
        calls = "call" if refusal.holds == 1 else "calls"
        state += f", {show(refusal.held)} held by {refusal.holds} {calls} in flight"
    resets = (
        f"It resets at {refusal.resets_at.isoformat()}."
        if refusal.resets_at
        else "It does not reset by itself."
    )
    return (
        f"budget {refusal.scope!r} per {refusal.period}: this call to {model!r} may cost up to "
        f"{show(refusal.needed)}, but {state}). "
        f"{resets} Make the call smaller (its output cap counts), use a cheaper model, or raise "
        f"the limit."
    )


def describe_choices(choices: Mapping[str, object] | Sequence[str]) -> str:
    """Join the names a value could have had, for an error message."""
    return ", ".join(repr(choice) for choice in choices)
