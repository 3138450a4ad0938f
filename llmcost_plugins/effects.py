"""Why more was spent than before: more tokens, other models, or dearer ones. Adds up exactly.

Volume is counted in tokens, since that is what is billed; with calls, longer prompts would look
like higher prices. Whole numbers: what rounding leaves over is in the mix.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import NamedTuple

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import Status
from llmcost_plugins.money import nano_to_usd, usd_to_nano
from llmcost_plugins.periods import Window
from llmcost_plugins.reporter import CostReporter, Report
from llmcost_plugins.spans import as_long_before, named_window, period_before

Group = tuple[str, ...]


class Part(NamedTuple):
    """What one segment has used in one period.

    Attributes:
        tokens: how much.
        cost: for how much, in nano-dollars.
    """

    tokens: int
    cost: int


class Split(NamedTuple):
    """A difference in nano-dollars, in three effects that add up to it."""

    price: int
    volume: int
    mix: int


@dataclass(frozen=True, slots=True)
class EffectRow:
    """The difference between two periods, of one group. Money in USD.

    Attributes:
        group: the values grouped by; an empty tuple for all.
        before: what was spent in the earlier period.
        now: what was spent in the later one.
        price: what the same tokens cost more at what a token of that model costs now: prices, and
            what else makes a token dearer, such as longer answers or fewer prompts from the
            provider's cache.
        volume: what as many more tokens, spread as before, would have cost more at the old prices.
        mix: what it costs that they are spread otherwise over models and groups.
    """

    group: Group
    before: Decimal
    now: Decimal
    price: Decimal
    volume: Decimal
    mix: Decimal

    @property
    def change(self) -> Decimal:
        """What is spent more; the sum of the three effects, exactly."""
        return nano_to_usd(usd_to_nano(self.now) - usd_to_nano(self.before))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two periods beside each other.

    Attributes:
        by: what the rows are grouped by.
        rows: one for each group, the largest change first; they add up to *total*, exactly.
        total: all calls.
        span: the later period.
        before: the earlier one.
        unpriced: how many calls of both have no known price, and are missing in all amounts.
    """

    by: tuple[str, ...]
    rows: tuple[EffectRow, ...]
    total: EffectRow
    span: Window
    before: Window
    unpriced: int


def split(before: Mapping[Group, Part], now: Mapping[Group, Part]) -> dict[Group, Split]:
    """Split what each segment costs more into effects. Pure, in whole numbers.

    What is new has no old price, so all of it is volume and mix; where nothing was used before, all
    of everything is volume.
    """
    nothing = Part(0, 0)
    used_before, used_now = (sum(part.tokens for part in one.values()) for one in (before, now))
    found = {}
    for group in dict.fromkeys([*before, *now]):
        old, new = before.get(group, nothing), now.get(group, nothing)
        change = new.cost - old.cost
        if used_before <= 0:
            found[group] = Split(0, change, 0)
            continue
        volume = _scaled(old.cost, used_now, used_before) - old.cost
        price = 0
        if old.tokens > 0:
            price = new.cost - _scaled(old.cost, new.tokens, old.tokens)
        found[group] = Split(price, volume, change - price - volume)
    return found


def compare(
    reporter: CostReporter, span: Window, before: Window, by: Sequence[str] = ("model",)
) -> Comparison:
    """Compare two periods; each group is parted by model, too, so that a change of model is mix.

    Args:
        reporter: answers what was spent.
        span: the later period.
        before: the earlier one.
        by: what to group by, see `CostReporter.report`; ``tag`` is none here, because a call with
            two of them would count twice.

    Raises:
        ConfigurationError: a group means nothing here.
    """
    if "tag" in by or "status" in by:
        one = "tag" if "tag" in by else "status"
        msg = f"cannot compare by {one!r}: its groups do not add up; a good value is 'model'"
        raise ConfigurationError(msg)
    fields = [*by, *({"model"} - set(by)), "status"]
    reports = [reporter.over(one, fields) for one in (before, span)]
    parts = [_parts(report) for report in reports]
    effects = split(*parts)
    rows: dict[Group, list[int]] = defaultdict(lambda: [0] * 5)
    for group, effect in effects.items():
        costs = (part[group].cost if group in part else 0 for part in parts)
        found = rows[group[: len(by)]]
        for place, amount in enumerate((*costs, *effect)):
            found[place] += amount
    made = [_row(group, amounts) for group, amounts in rows.items()]
    made.sort(key=lambda row: (-abs(row.change), row.group))
    total = _row((), [sum(one[place] for one in rows.values()) for place in range(5)])
    unpriced = sum(report.total.unpriced for report in reports)
    return Comparison(tuple(by), tuple(made), total, span, before, unpriced)


def spans_to_compare(period: str, to: str, now: datetime, zone: tzinfo) -> tuple[Window, Window]:
    """Return the span that *period* says, and the one to compare it with.

    Args:
        period: see `named_window`.
        to: ``previous``, or another period.
        now: the current instant.
        zone: whose calendar.

    Raises:
        ConfigurationError: a period means nothing, or nothing is before it.
    """
    span = named_window(period, now, zone)
    if to != "previous":
        return span, named_window(to, now, zone)
    return span, _some(period_before(span, period, zone), repr(period))


def span_before(span: Window, now: datetime, zone: tzinfo) -> Window:
    """Return the span of the same length before one that dates state.

    Raises:
        ConfigurationError: it has no beginning.
    """
    return _some(as_long_before(span, now, zone), "that span")


def _some(before: Window | None, what: str) -> Window:
    if before is None:
        msg = f"nothing is before {what} to compare it with; a good period is 'month'"
        raise ConfigurationError(msg)
    return before


def _parts(report: Report) -> dict[Group, Part]:
    found: dict[Group, Part] = defaultdict(lambda: Part(0, 0))
    for row in report.rows:
        *group, status = row.group
        tokens, cost = found[tuple(group)]
        # What a cache has answered was not bought, so it is no volume.
        bought = 0 if status == Status.CACHED else row.prompt_tokens + row.completion_tokens
        found[tuple(group)] = Part(tokens + bought, cost + usd_to_nano(row.cost))
    return dict(found)


def _row(group: Group, amounts: Sequence[int]) -> EffectRow:
    return EffectRow(group, *map(nano_to_usd, amounts))


def _scaled(amount: int, over: int, under: int) -> int:
    """Return amount * over / under, rounded half up in whole numbers."""
    return (2 * amount * over + under) // (2 * under)
