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
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.labels import Labels, make_labels
from llmcost_plugins.money import NANO_PER_USD, count_string, nano_to_usd, usd_string, usd_to_nano
from llmcost_plugins.periods import Period, Window, window

ANY: Final = "*"
_BUCKETS_KEPT: Final = 4096
_EXAMPLE: Final = "'team:alpha=200/month; user:*=500 requests/day:raise; run=0.50'"
WARN_AT: Final = (Decimal("0.8"), Decimal("0.9"))
"""The parts of a limit at which somebody is told, unless a budget says otherwise."""
_AMOUNT: Final = re.compile(
    r"(?P<number>[^a-zA-Z\s]+)\s*(?P<factor>[kKMG]?)\s*(?P<unit>tokens|requests)?"
)
_FACTORS: Final = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}
_LARGEST: Final = 2**62
_NO_LABELS: Final = frozenset({"global", "run", "block", "tags"})


_E = TypeVar("_E", bound=StrEnum)


class Unit(StrEnum):
    """What a budget counts."""

    USD = "usd"
    """Money; counted in nano-dollars."""
    TOKENS = "tokens"
    """Tokens of prompts and answers."""
    REQUESTS = "requests"
    """Calls that were sent to a provider."""


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
        scope: what it covers, see the grammar in the module's docstring.
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
        counted, count = _parse_limit(limit, unit, scope)
        period = _parse_choice(Period, per, f"the period of the budget {scope!r}")
        named = Action.FALLBACK if on_exceed is None else on_exceed
        action = _parse_choice(Action, named, f"the action of the budget {scope!r}")
        if ("run", "") in parts and period is not Period.TOTAL:
            msg = (
                f"budget {scope!r} per {period.value!r}: a run has no calendar; write it without a "
                f"period, such as 'run=0.50'"
            )
            raise ConfigurationError(msg)
        _set(self, scope="+".join(_write_part(key, value) for key, value in parts))
        shown = Decimal(usd_string(count)) if counted is Unit.USD else Decimal(count)
        _set(self, limit=shown, per=period, on_exceed=action, unit=counted)
        shares = {_parse_share(share, f"warn_at of the budget {scope!r}") for share in warn_at}
        _set(self, warn_at=tuple(sorted(shares)))
        what = f"degrade_at of the budget {scope!r}"
        _set(self, degrade_at=None if degrade_at is None else _parse_share(degrade_at, what))
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
        parts = sorted(parse_scope(self.scope))
        scope = "+".join(_write_part(key, value) for key, value in parts)
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


@dataclass(frozen=True, slots=True)
class Bucket:
    """One scope value in one period: the row that money is counted in.

    Attributes:
        key: its identity in the ledger.
        scope: the scope with its value, e.g. ``user:u1``.
        limit: nano-dollars, tokens or requests.
        starts_at: the start of the period in UTC; `None` when it covers all time.
        resets_at: its end, likewise.
        match: what an entry must have to belong here, e.g. ``{"user": "u1"}``.
        budget: the budget it comes from.
        unit: what it counts.
    """

    key: str
    scope: str
    limit: int
    starts_at: datetime | None
    resets_at: datetime | None
    match: Mapping[str, str]
    budget: Budget
    unit: Unit = Unit.USD

    @property
    def name(self) -> str:
        """Its scope and period as budgets are written, e.g. ``team:alpha/month``; or ``block``."""
        scope = self.scope.partition(":")[0] if "block" in self.match else self.scope
        return scope if self.budget.per == "total" else f"{scope}/{self.budget.per}"

    def amount(self, count: int) -> str:
        """Write what it counts as a plain number: USD, tokens or requests."""
        return count_string(count, self.unit)

    def softened(self) -> "Bucket":
        """Return the same bucket with a budget that only warns."""
        return replace(self, budget=_softened(self.budget))


@lru_cache(maxsize=1024)
def _softened(budget: Budget) -> Budget:
    return Budget(
        budget.scope,
        budget.limit if budget.unit is Unit.USD else int(budget.limit),
        budget.per,
        Action.WARN,
        unit=budget.unit,
        warn_at=budget.warn_at,
    )


def parse_subject(scope: str) -> Subject:
    """Read who makes a call from the parts of a scope, e.g. ``user:u1+model:gpt-4o``.

    Raises:
        ConfigurationError: the scope cannot be read, or a value is ``*``.
    """
    parts = dict(parse_scope(scope))
    if ANY in parts.values():
        msg = f"{scope!r} names everyone; name one value, such as 'user:u1'"
        raise ConfigurationError(msg)
    model, provider = parts.pop("model", ""), parts.pop("provider", "")
    run = parts.pop("run", "")
    labels = {key: value for key, value in parts.items() if value}
    return Subject(model, provider, make_labels(labels), run)


class BudgetBook:
    """The budgets in force, ready to be asked which buckets a call touches.

    Attributes:
        budgets: the budgets.
        label_keys: the label keys that some budget looks at.
        degrades: whether some budget makes routers prefer cheaper models before its limit is
            reached.

    Raises:
        ConfigurationError: two budgets cover the same scope and period.
    """

    def __init__(self, budgets: Iterable[Budget], zone: tzinfo = UTC) -> None:
        self.budgets = tuple(budgets)
        self._covers = [_Cover(budget, zone) for budget in self.budgets]
        keys = {key for cover in self._covers for key, _ in cover.parts}
        self.label_keys = frozenset(keys - {"global", "run", "block", "model", "provider"})
        self.degrades = any(budget.degrade_at is not None for budget in self.budgets)
        seen: set[BudgetKey] = set()
        for budget in self.budgets:
            if budget.key in seen:
                msg = (
                    f"two budgets cover the scope {budget.scope!r} per {budget.per.value} in "
                    f"{budget.unit}; keep one of them"
                )
                raise ConfigurationError(msg)
            seen.add(budget.key)

    def buckets(self, subject: Subject, at: datetime) -> list[Bucket]:
        """Return the bucket of every budget that covers a call made at the instant *at*."""
        found = [cover.bucket(subject, at) for cover in self._covers]
        return [bucket for bucket in found if bucket is not None]


class _Cover:
    """One budget with the buckets it has had in the current period, by the values of its scope."""

    __slots__ = ("_budget", "_keys", "_period", "_wanted", "_zone", "parts")

    def __init__(self, budget: Budget, zone: tzinfo) -> None:
        self._budget = budget
        self._zone = zone
        self.parts = parse_scope(budget.scope)
        asked = [(key, wanted) for key, wanted in self.parts if key != "global"]
        self._keys = tuple(key for key, _ in asked)
        self._wanted = tuple("" if wanted == ANY else wanted for _, wanted in asked)
        # One attribute: a call of the old period and one of the new may come from two threads.
        self._period: tuple[Window, dict[tuple[str, ...], Bucket]] | None = None

    def bucket(self, subject: Subject, at: datetime) -> Bucket | None:
        """Return the bucket of a call; `None` when the budget does not cover it."""
        values = []
        for key, wanted in zip(self._keys, self._wanted, strict=True):
            value = _value(key, subject)
            if value is None or (wanted and value != wanted):
                return None
            values.append(value)
        period = self._period
        if period is None or at not in period[0]:
            period = self._period = (window(self._budget.per, at, self._zone), {})
        span, known = period
        bucket = known.get(tuple(values))
        if bucket is None:
            bucket = self._made(span, values)
            if len(known) >= _BUCKETS_KEPT:
                known.clear()
            known[tuple(values)] = bucket
        return bucket

    def _made(self, span: Window, values: list[str]) -> Bucket:
        budget = self._budget
        match = dict(zip(self._keys, values, strict=True))
        begins = span.start.isoformat() if span.start else ""
        unit = () if budget.unit is Unit.USD else (budget.unit,)
        return Bucket(
            key=_join_key((budget.scope, budget.per, begins, *values, *unit)),
            scope="+".join(_write_part(*part) for part in match.items()) or budget.scope,
            limit=budget.limit_count,
            starts_at=span.start,
            resets_at=span.end,
            match=match,
            budget=budget,
            unit=budget.unit,
        )


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How a bucket stands. Amounts are USD, tokens or requests, see *unit*.

    Attributes:
        scope: the scope with its value.
        per: the period.
        limit: what may be spent; `None` when no budget of this process covers the bucket.
        spent: what has been settled.
        held: what is set aside for calls in flight.
        holds: how many calls those are.
        resets_at: the end of the period in UTC.
        unit: what is counted.
        projected: what will be spent by the end of the period if it goes on as in the period so
            far; `None` without an end, and in the first hundredth of the period, which tells
            nothing.
    """

    scope: str
    per: Period
    limit: Decimal | None
    spent: Decimal
    held: Decimal
    holds: int
    resets_at: datetime | None
    unit: Unit = Unit.USD
    projected: Decimal | None = None

    @property
    def left(self) -> Decimal | None:
        """What a new call can still be given; negative after an overdraft."""
        if self.limit is None:
            return None
        # Not by Decimal's minus, which rounds as the caller's context says.
        limit, spent, held = (self.count(one) for one in (self.limit, self.spent, self.held))
        return amount_of(limit - spent - held, self.unit)

    @property
    def used(self) -> Decimal:
        """The part of the limit that is spent and held; 1 without a limit, or with one of 0."""
        return (self.spent + self.held) / self.limit if self.limit else Decimal(1)

    def count(self, amount: Decimal) -> int:
        """Return an amount of this status as the ledger counts it: nano-dollars for USD."""
        return usd_to_nano(amount) if self.unit is Unit.USD else int(amount)


def amount_of(count: int, unit: Unit) -> Decimal:
    """Return a count of the ledger in USD, tokens or requests."""
    return nano_to_usd(count) if unit is Unit.USD else Decimal(count)


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
    if any(budget.scope == "block" for budget in budgets):
        msg = "the limit of a block is set in code: with tracker.budget(0.50)"
        raise ConfigurationError(msg)
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
        action.strip() if colon else None,
    )


# Split where another part begins, so that the value a+b@x.com stays whole, and outside of quotes.
_PLUS: Final = re.compile(
    r'\s*\+\s*(?=(?:[^\W\d]\w*\s*:|(?:run|global)\s*(?:\+|$)))(?=(?:[^"]*"[^"]*")*[^"]*$)'
)


def parse_scope(scope: str) -> tuple[tuple[str, str], ...]:
    """Read a scope as its parts, keys and values, in the order they are written.

    Raises:
        ConfigurationError: it cannot be read.
    """
    parts = tuple(_parse_part(part.strip(), scope) for part in _PLUS.split(scope))
    keys = [key for key, _ in parts]
    if len(set(keys)) < len(keys) or ("global" in keys and len(keys) > 1):
        msg = f"the scope {scope!r} names a key twice, or joins 'global' with another part"
        raise ConfigurationError(msg)
    return parts


def _parse_part(part: str, scope: str) -> tuple[str, str]:
    if part in {"global", "run", "block"}:
        return part, ""
    key, colon, value = (piece.strip() for piece in part.partition(":"))
    quoted = len(value) > 1 and value[0] == value[-1] == '"'
    bare = value[1:-1] if quoted else value
    if not colon or not bare or not key.isidentifier() or key in _NO_LABELS:
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
        kept = ";" not in value and parse_scope(bare) == ((key, value),)
    except ConfigurationError:
        kept = False
    return bare if kept else f'{key}:"{value}"'


def _join_key(parts: Iterable[str]) -> str:
    """Join to a key that no other parts are joined to."""
    return "|".join([part.replace("\\", "\\\\").replace("|", "\\|") for part in parts])


def _parse_limit(
    limit: Decimal | str | int, unit: Unit | str | None, scope: str
) -> tuple[Unit, int]:
    """Return what is counted, and the limit as the ledger counts it."""
    if isinstance(limit, bool) or not isinstance(limit, Decimal | str | int | float):
        msg = f"the limit {limit!r} of the budget {scope!r} is not an amount in USD such as '12.50'"
        raise ConfigurationError(msg)
    if isinstance(limit, float):
        msg = f"the limit {limit!r} of the budget {scope!r} is a float; write it as '{limit}'"
        raise ConfigurationError(msg)
    known = None if unit is None else _parse_choice(Unit, unit, f"the unit of the budget {scope!r}")
    number, factor, named = _split_amount(limit)
    if named and known not in {None, named}:
        msg = f"the budget {scope!r} counts {str(limit)!r} and says that its unit is {str(unit)!r}"
        raise ConfigurationError(msg)
    counted = named or known or Unit.USD
    if counted is Unit.USD and factor != 1:
        msg = f"the limit {limit!r} of the budget {scope!r}: write out an amount of money"
        raise ConfigurationError(msg)
    count = _count(number, factor, counted, f"the limit of the budget {scope!r}")
    if count < 0:
        msg = (
            f"the limit {str(limit)!r} of the budget {scope!r} is negative; use 0 to stop all calls"
        )
        raise ConfigurationError(msg)
    if count >= _LARGEST:
        msg = f"the limit {str(limit)!r} of the budget {scope!r} is beyond what the ledger can hold"
        raise ConfigurationError(msg)
    return counted, count


def _split_amount(limit: Decimal | str | int) -> tuple[Decimal | str | int, int, Unit | None]:
    parsed = _AMOUNT.fullmatch(limit.strip()) if isinstance(limit, str) else None
    if parsed is None or not (parsed["factor"] or parsed["unit"]):
        return limit, 1, None
    unit = Unit(parsed["unit"]) if parsed["unit"] else None
    return parsed["number"], _FACTORS[parsed["factor"]], unit


def _count(number: Decimal | str | int, factor: int, unit: Unit, what: str) -> int:
    try:
        nano = usd_to_nano(number)
    except ArithmeticError as error:
        msg = f"{what}: {error}"
        raise ConfigurationError(msg) from None
    if unit is Unit.USD:
        return nano
    count, rest = divmod(nano * factor, NANO_PER_USD)
    if rest:
        msg = f"{what} is {str(number)!r} {unit}, which is no whole number"
        raise ConfigurationError(msg)
    return count


def _parse_share(share: Decimal | str | float, what: str) -> Decimal:
    try:
        value = Decimal(repr(share) if isinstance(share, float) else str(share))
    except ArithmeticError:
        value = Decimal("NaN")
    if isinstance(share, bool) or value.is_nan() or not 0 < value <= 1:
        msg = f"{what} is {share!r}; it must be a part of the limit, such as 0.8"
        raise ConfigurationError(msg)
    return value


def _parse_choice(kind: type[_E], value: str, what: str) -> _E:
    try:
        return kind(value)
    except ValueError:
        choices = describe_choices([member.value for member in kind])
        msg = f"{what} is {value!r}; it must be one of {choices}"
        raise ConfigurationError(msg) from None


def _value(key: str, subject: Subject) -> str | None:
    if key == "run":
        return subject.run
    if key == "model":
        return subject.model
    if key == "provider":
        return subject.provider
    return subject.labels.values.get(key)
