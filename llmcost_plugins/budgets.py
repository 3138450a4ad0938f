"""Budgets: what may be spent, by whom, in which period. Pure: no clock, no store.

The grammar of a scope::

    global                     every call
    user:u1                    calls with that label
    user:*                     calls that have the label; each value has a bucket of its own
    model:gpt-4o  provider:*   likewise by the catalog's name of the requested model, by provider
    team:alpha+feature:chat    calls that match all of the parts
    run                        each outermost chain, agent or query run has a bucket of its own
    user:"a; b"                a value in quotes may contain anything but a double quote
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeVar

from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.labels import Labels
from llmcost_plugins.money import nano_to_usd, usd_string, usd_to_nano
from llmcost_plugins.periods import Period, Window, window

ANY: Final = "*"
_BUCKETS_KEPT: Final = 4096
_EXAMPLE: Final = "'team:alpha=200/month; user:*=2/day:raise; run=0.50'"


_E = TypeVar("_E", bound=StrEnum)


class Action(StrEnum):
    """What happens to a call that does not fit."""

    FALLBACK = "fallback"
    """A router may answer with a cheaper model that fits; anything else raises."""
    RAISE = "raise"
    """The call raises, even in a router."""
    WARN = "warn"
    """The call goes through and a warning is logged."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a budget can look at in a call.

    Attributes:
        model: the catalog's canonical key of the requested model.
        provider: LiteLLM's name of the provider, or the framework's when unknown.
        labels: who caused the call.
        run: the id of the outermost run that it belongs to.
    """

    model: str
    provider: str
    labels: Labels
    run: str


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on what the calls of a scope may cost in a period.

    Args:
        scope: what it covers, see the grammar in the module's docstring.
        limit: USD, at least zero. Decimal, string or int; a float is refused, 0.1 has no exact one.
        per: the period; ``total`` never resets. A ``run`` scope is always per run.
        on_exceed: what happens to a call that does not fit.

    Raises:
        ConfigurationError: a value cannot be used; the message names it.
    """

    scope: str
    limit: Decimal
    per: Period = Period.TOTAL
    on_exceed: Action = Action.FALLBACK

    def __init__(
        self,
        scope: str,
        limit: Decimal | str | int,
        per: Period | str = Period.TOTAL,
        on_exceed: Action | str = Action.FALLBACK,
    ) -> None:
        parts = _parse_scope(scope)
        nano = _parse_limit(limit, scope)
        period = _parse_choice(Period, per, f"the period of the budget {scope!r}")
        action = _parse_choice(Action, on_exceed, f"the action of the budget {scope!r}")
        if ("run", "") in parts and period is not Period.TOTAL:
            msg = (
                f"budget {scope!r} per {period.value!r}: a run has no calendar; write it without a "
                f"period, such as 'run=0.50'"
            )
            raise ConfigurationError(msg)
        _set(self, scope="+".join(_write_part(key, value) for key, value in parts))
        _set(self, limit=Decimal(usd_string(nano)), per=period, on_exceed=action)

    @property
    def limit_nano(self) -> int:
        """The limit in nano-dollars."""
        return usd_to_nano(self.limit)

    def __str__(self) -> str:
        per = "" if self.per is Period.TOTAL else f"/{self.per}"
        return f"{self.scope}={self.limit:f}{per}:{self.on_exceed}"


def _set(budget: Budget, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(budget, name, value)


@dataclass(frozen=True, slots=True)
class Bucket:
    """One scope value in one period: the row that money is counted in.

    Attributes:
        key: its identity in the ledger.
        scope: the scope with its value, e.g. ``user:u1``.
        limit: nano-dollars.
        starts_at: the start of the period in UTC; `None` when it covers all time.
        resets_at: its end, likewise.
        match: what an entry must have to belong here, e.g. ``{"user": "u1"}``.
        budget: the budget it comes from.
    """

    key: str
    scope: str
    limit: int
    starts_at: datetime | None
    resets_at: datetime | None
    match: Mapping[str, str]
    budget: Budget


class BudgetBook:
    """The budgets in force, ready to be asked which buckets a call touches.

    Raises:
        ConfigurationError: two budgets cover the same scope and period.
    """

    def __init__(self, budgets: Iterable[Budget], zone: tzinfo = UTC) -> None:
        self.budgets = tuple(budgets)
        self._zone = zone
        self._parsed = [(budget, _parse_scope(budget.scope)) for budget in self.budgets]
        self._windows: dict[Period, Window] = {}
        self._known: dict[str, Bucket] = {}
        seen: set[tuple[frozenset[tuple[str, str]], Period]] = set()
        for budget, parts in self._parsed:
            covered = frozenset(parts), budget.per
            if covered in seen:
                msg = (
                    f"two budgets cover the scope {budget.scope!r} per {budget.per.value}; keep "
                    f"one of them"
                )
                raise ConfigurationError(msg)
            seen.add(covered)

    @property
    def label_keys(self) -> frozenset[str]:
        """The label keys that some budget looks at."""
        keys = {key for _, parts in self._parsed for key, _ in parts}
        return frozenset(keys - {"global", "run", "model", "provider"})

    def buckets(self, subject: Subject, at: datetime) -> list[Bucket]:
        """Return the bucket of every budget that covers a call made at the instant *at*."""
        found = []
        for budget, parts in self._parsed:
            match = _match(parts, subject)
            if match is not None:
                found.append(self._bucket(budget, match, at))
        return found

    def _bucket(self, budget: Budget, match: dict[str, str], at: datetime) -> Bucket:
        span = self._window(budget.per, at)
        begins = span.start.isoformat() if span.start else ""
        key = _join_key((budget.scope, budget.per, begins, *match.values()))
        known = self._known.get(key)
        if known is not None:
            return known
        bucket = Bucket(
            key=key,
            scope="+".join(_write_part(*part) for part in match.items()) or budget.scope,
            limit=budget.limit_nano,
            starts_at=span.start,
            resets_at=span.end,
            match=match,
            budget=budget,
        )
        if len(self._known) >= _BUCKETS_KEPT:
            self._known.clear()
        self._known[key] = bucket
        return bucket

    def _window(self, period: Period, at: datetime) -> Window:
        known = self._windows.get(period)
        if known is None or at not in known:
            known = self._windows[period] = window(period, at, self._zone)
        return known


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How a bucket stands. Money in USD.

    Attributes:
        scope: the scope with its value.
        per: the period.
        limit: what may be spent; `None` when no budget of this process covers the bucket.
        spent: what has been settled.
        held: what is set aside for calls in flight.
        holds: how many calls those are.
        resets_at: the end of the period in UTC.
    """

    scope: str
    per: Period
    limit: Decimal | None
    spent: Decimal
    held: Decimal
    holds: int
    resets_at: datetime | None

    @property
    def left(self) -> Decimal | None:
        """What a new call can still be given; negative after an overdraft."""
        if self.limit is None:
            return None
        # Not by Decimal's minus, which rounds as the caller's context says.
        return nano_to_usd(
            usd_to_nano(self.limit) - usd_to_nano(self.spent) - usd_to_nano(self.held)
        )


def parse_budgets(text: str, *, where: str = "LLMCOST_BUDGETS") -> tuple[Budget, ...]:
    """Read budgets in their env form: ``scope=amount[/period][:action]`` joined by ``;``.

    A scope's value may stand in double quotes, and then contain anything but one.

    Args:
        text: the budgets.
        where: the variable or file, for the error message.

    Raises:
        ConfigurationError: the text cannot be read; the message names the part.
    """
    try:
        return read_budgets(text)
    except ConfigurationError as error:
        msg = f"{where}: {error}. A good value is {_EXAMPLE}"
        raise ConfigurationError(msg) from None


def read_budgets(text: str) -> tuple[Budget, ...]:
    """Do what `parse_budgets` does; the error does not say where the text comes from."""
    items = (item.strip() for item in re.findall(r'(?:[^;"]|"[^"]*"?)+', text))
    budgets = tuple(_parse_budget(item) for item in items if item)
    BudgetBook(budgets)  # refuses two of the same scope and period
    return budgets


def _parse_budget(item: str) -> Budget:
    scope, equals, rest = item.rpartition("=")
    if not equals or not scope.strip():
        msg = f"{item!r} is not of the form scope=amount/period"
        raise ConfigurationError(msg)
    amount_and_period, colon, action = rest.partition(":")
    amount, slash, period = amount_and_period.partition("/")
    return Budget(
        scope.strip(),
        amount.strip(),
        period.strip() if slash else Period.TOTAL,
        action.strip() if colon else Action.FALLBACK,
    )


# Split where another part begins, so that the value a+b@x.com stays whole, and outside of quotes.
_PLUS: Final = re.compile(
    r'\s*\+\s*(?=(?:[^\W\d]\w*\s*:|(?:run|global)\s*(?:\+|$)))(?=(?:[^"]*"[^"]*")*[^"]*$)'
)


def _parse_scope(scope: str) -> tuple[tuple[str, str], ...]:
    parts = tuple(_parse_part(part.strip(), scope) for part in _PLUS.split(scope))
    keys = [key for key, _ in parts]
    if len(set(keys)) < len(keys) or ("global" in keys and len(keys) > 1):
        msg = f"the scope {scope!r} names a key twice, or joins 'global' with another part"
        raise ConfigurationError(msg)
    return parts


def _parse_part(part: str, scope: str) -> tuple[str, str]:
    if part in {"global", "run"}:
        return part, ""
    key, colon, value = (piece.strip() for piece in part.partition(":"))
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    bare = value[1:-1] if quoted else value
    if not colon or not bare or not key.isidentifier() or key in {"global", "run", "tags"}:
        msg = f"{part!r} in the scope {scope!r} is not 'global', 'run', 'key:value' or 'key:*'"
        raise ConfigurationError(msg)
    if '"' in bare or not bare.isprintable():
        msg = f"the scope {scope!r} has a stray double quote or an invisible character"
        raise ConfigurationError(msg)
    return key, bare


@lru_cache(maxsize=1024)
def _write_part(key: str, value: str) -> str:
    """Write a part so that it is read back as it is, in quotes where it must be."""
    if not value:
        return key
    bare = f"{key}:{value}"
    if key == "run":  # an id, shown only: the grammar has no value for it
        return bare
    try:
        kept = ";" not in value and _parse_scope(bare) == ((key, value),)
    except ConfigurationError:
        kept = False
    return bare if kept else f'{key}:"{value}"'


def _join_key(parts: Iterable[str]) -> str:
    """Join to a key that no other parts are joined to."""
    return "|".join([part.replace("\\", "\\\\").replace("|", "\\|") for part in parts])


def _parse_limit(limit: Decimal | str | int, scope: str) -> int:
    if isinstance(limit, bool) or not isinstance(limit, Decimal | str | int | float):
        msg = f"the limit {limit!r} of the budget {scope!r} is not an amount in USD such as '12.50'"
        raise ConfigurationError(msg)
    if isinstance(limit, float):
        msg = f"the limit {limit!r} of the budget {scope!r} is a float; write it as '{limit}'"
        raise ConfigurationError(msg)
    try:
        nano = usd_to_nano(limit)
    except ArithmeticError as error:
        msg = f"the limit of the budget {scope!r}: {error}"
        raise ConfigurationError(msg) from None
    if nano < 0:
        msg = (
            f"the limit {str(limit)!r} of the budget {scope!r} is negative; use 0 to stop all calls"
        )
        raise ConfigurationError(msg)
    if nano >= 2**62:
        msg = f"the limit {str(limit)!r} of the budget {scope!r} is beyond what the ledger can hold"
        raise ConfigurationError(msg)
    return nano


def _parse_choice(kind: type[_E], value: str, what: str) -> _E:
    try:
        return kind(value)
    except ValueError:
        choices = describe_choices([member.value for member in kind])
        msg = f"{what} is {value!r}; it must be one of {choices}"
        raise ConfigurationError(msg) from None


def _match(parts: tuple[tuple[str, str], ...], subject: Subject) -> dict[str, str] | None:
    match: dict[str, str] = {}
    for key, wanted in parts:
        if key == "global":
            continue
        actual = _value(key, subject)
        if actual is None or (wanted not in {"", ANY, actual}):
            return None
        match[key] = actual
    return match


def _value(key: str, subject: Subject) -> str | None:
    if key == "run":
        return subject.run
    if key == "model":
        return subject.model
    if key == "provider":
        return subject.provider
    return subject.labels.values.get(key)
