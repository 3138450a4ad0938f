"""Budgets: limits on what calls may cost."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from llmcost_plugins.budgets.amounts import Unit, parse_limit, parse_share
from llmcost_plugins.budgets.choices import parse_choice
from llmcost_plugins.budgets.scopes import parse_scope, write_scope
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.money import usd_string, usd_to_nano
from llmcost_plugins.periods import Period

WARN_AT: Final = (Decimal("0.8"), Decimal("0.9"))
"""The parts of a limit at which somebody is told, unless a budget says otherwise."""


class Action(StrEnum):
    """What happens to a call that does not fit."""

    FALLBACK = "fallback"
    """A router may answer with a cheaper model that fits; anything else raises."""
    RAISE = "raise"
    """The call raises, even in a router."""
    WARN = "warn"
    """The call goes through and a warning is logged."""


class BudgetKey(NamedTuple):
    """What tells one budget from another: no two may cover the same.

    Attributes:
        scope: the scope, its parts in order of their keys.
        per: the period.
        unit: what is counted.
    """

    scope: str
    per: Period
    unit: Unit


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on what the calls of a scope may cost in a period.

    Args:
        scope: what it covers, see the grammar in `llmcost_plugins.budgets.scopes`.
        limit: USD, tokens or requests, at least zero. Decimal, string or int; a float is refused,
            0.1 has no exact one. A string may name its unit: ``2M tokens``, ``500 requests``.
        per: the period; ``total`` never resets. A ``run`` scope is always per run.
        on_exceed: what happens to a call that does not fit.
        unit: what *limit* counts, where it does not say so itself.
        warn_at: parts of the limit, between 0 and 1, at which somebody is told, once a period.
        degrade_at: the part of the limit from which routers prefer their cheaper models.

    Attributes:
        stated_action: whether *on_exceed* was given.

    Raises:
        ConfigurationError: a value cannot be used; the message names it.
    """

    scope: str
    limit: Decimal
    per: Period = Period.TOTAL
    on_exceed: Action = Action.FALLBACK
    unit: Unit = Unit.USD
    warn_at: tuple[Decimal, ...] = WARN_AT
    degrade_at: Decimal | None = None
    stated_action: bool = field(default=False, repr=False, compare=False)

    def __init__(  # noqa: PLR0913 - keyword-only facts with defaults
        self,
        scope: str,
        limit: Decimal | str | int,
        per: Period | str = Period.TOTAL,
        on_exceed: Action | str | None = None,
        *,
        unit: Unit | str | None = None,
        warn_at: Iterable[Decimal | str | float] = WARN_AT,
        degrade_at: Decimal | str | float | None = None,
    ) -> None:
        parts = parse_scope(scope)
        counted, count = parse_limit(limit, unit, scope)
        period = parse_choice(Period, per, f"the period of the budget {scope!r}")
        named = Action.FALLBACK if on_exceed is None else on_exceed
        action = parse_choice(Action, named, f"the action of the budget {scope!r}")
        if ("run", "") in parts and period is not Period.TOTAL:
            msg = (
                f"budget {scope!r} per {period.value!r}: a run has no calendar; write it without a "
                f"period, such as 'run=0.50'"
            )
            raise ConfigurationError(msg)
        _set(self, scope=write_scope(parts))
        shown = Decimal(usd_string(count)) if counted is Unit.USD else Decimal(count)
        _set(self, limit=shown, per=period, on_exceed=action, unit=counted)
        shares = {parse_share(share, f"warn_at of the budget {scope!r}") for share in warn_at}
        _set(self, warn_at=tuple(sorted(shares)))
        what = f"degrade_at of the budget {scope!r}"
        _set(self, degrade_at=None if degrade_at is None else parse_share(degrade_at, what))
        _set(self, stated_action=on_exceed is not None)

    def with_defaults(self, on_exceed: Action, degrade_at: Decimal | None) -> "Budget":
        """Return this budget with what it does not say itself."""
        return Budget(
            self.scope,
            self.limit if self.unit is Unit.USD else int(self.limit),
            self.per,
            self.on_exceed if self.stated_action else on_exceed,
            unit=self.unit,
            warn_at=self.warn_at,
            degrade_at=degrade_at if self.degrade_at is None else self.degrade_at,
        )

    @property
    def key(self) -> BudgetKey:
        """What tells this budget from others."""
        scope = write_scope(sorted(parse_scope(self.scope)))
        return BudgetKey(scope, self.per, self.unit)

    @property
    def limit_count(self) -> int:
        """The limit as the ledger counts it: nano-dollars, tokens or requests."""
        return usd_to_nano(self.limit) if self.unit is Unit.USD else int(self.limit)

    def __str__(self) -> str:
        per = "" if self.per is Period.TOTAL else f"/{self.per}"
        unit = "" if self.unit is Unit.USD else f" {self.unit}"
        return f"{self.scope}={self.limit:f}{unit}{per}:{self.on_exceed}"


def _set(budget: Budget, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(budget, name, value)
