"""Questions asked of the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Final

from llmcost_plugins.budgets import Budget, BudgetStatus, amount_of
from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.ledger import GROUPS, BucketState, Ledger, Total
from llmcost_plugins.money import nano_to_usd, usd_to_nano
from llmcost_plugins.periods import window

REPORT_GROUPS: Final = ("day", "hour", *(group for group in GROUPS if group != "slot"))
"""What a report can be grouped by."""


@dataclass(frozen=True, slots=True)
class Details:
    """What no sums are kept of.

    Attributes:
        meters: how much was used, by meter; the usage of cached answers included.
        fell_back: calls that a cheaper model than the preferred one answered.
    """

    meters: Mapping[str, int]
    fell_back: int


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One line of a report. Money in USD.

    Attributes:
        group: the values grouped by; an empty string where a call had none.
        calls: calls that were answered, failed or lost; refusals apart.
        refused: calls that a budget refused.
        cached: calls answered from a cache.
        cost: what was spent.
        saved: what cached answers would have cost.
        fallback_saved: what answering with cheaper models than preferred has saved.
        prompt_tokens: tokens sent, those of cached answers included.
        completion_tokens: tokens received, likewise.
        inexact: calls whose cost rests on an estimate.
        unpriced: calls without a known price, which are missing in the cost.
        details: what only a detailed report tells.
    """

    group: tuple[str, ...]
    calls: int
    refused: int
    cached: int
    cost: Decimal
    saved: Decimal
    fallback_saved: Decimal
    prompt_tokens: int
    completion_tokens: int
    inexact: int
    unpriced: int
    details: Details | None = None

    @property
    def average(self) -> Decimal | None:
        """The cost of a call in USD, rounded to a nano-dollar; `None` without calls."""
        if not self.calls:
            return None
        return nano_to_usd(round(Fraction(usd_to_nano(self.cost), self.calls)))

    def share(self, calls: int) -> Decimal | None:
        """Return the part of all calls that *calls* are, to four places; `None` without calls.

        ``row.share(row.cached)`` is the hit rate of the cache.
        """
        return Decimal(f"{round(Fraction(calls * 10_000, self.calls))}e-4") if self.calls else None


def spend(
    ledger: Ledger,
    by: Sequence[str] = (),
    *,
    zone: tzinfo,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[ReportRow]:
    """Sum what was spent, grouped by some of `GROUPS` or the day, dearest first (days in order).

    Args:
        ledger: where to ask.
        by: the groups; none gives one row over all.
        zone: the time zone of the days.
        since: the first instant, rounded down to the half hour.
        until: the instant after the last.

    Raises:
        ConfigurationError: *by* names something else.
    """
    known = [group for group in REPORT_GROUPS if group != "hour"]
    unknown = [group for group in by if group not in known]
    if unknown:
        choices = describe_choices(known)
        msg = f"cannot report by {unknown[0]!r}; it must be some of {choices}"
        raise ConfigurationError(msg)
    if not ledger.exists():
        return []
    totals = ledger.totals(
        ["slot" if group == "day" else group for group in by], since=since, until=until
    )
    merged: dict[tuple[str, ...], Total] = {}
    for total in totals:
        group = tuple(
            datetime.fromisoformat(value).astimezone(zone).date().isoformat()
            if name == "day"
            else value
            for name, value in zip(by, total.group, strict=True)
        )
        merged[group] = _add(merged.get(group), total, group)
    rows = [row_of(total) for total in merged.values()]
    if "day" in by:
        return sorted(rows, key=lambda row: row.group)
    return sorted(rows, key=lambda row: (-row.cost, -row.saved, row.group))


def row_of(total: Total, details: Details | None = None) -> ReportRow:
    """Return sums as a line of a report."""
    return ReportRow(
        group=total.group,
        calls=total.calls,
        refused=total.refused,
        cached=total.cached,
        cost=nano_to_usd(total.cost),
        saved=nano_to_usd(total.saved),
        fallback_saved=nano_to_usd(total.fallback_saved),
        prompt_tokens=total.prompt_tokens,
        completion_tokens=total.completion_tokens,
        inexact=total.inexact,
        unpriced=total.unpriced,
        details=details,
    )


def budget_statuses(
    ledger: Ledger, budgets: Sequence[Budget], now: datetime, zone: tzinfo, *, sweep: bool = True
) -> list[BudgetStatus]:
    """Say how every bucket of the current periods stands, those of *budgets* with their limit.

    A budget that no call has touched yet is shown once, with nothing spent. Of the runs only those
    with calls in flight are shown: nothing tells when a run is over. Holds whose lease has ended
    are written down as lost; without *sweep* nothing is written, and they count as held.
    """
    limits = {(budget.scope, budget.per, budget.unit): budget for budget in budgets}
    found = []
    touched = set()
    # A question does not make a ledger where there is none.
    for state in ledger.statuses(now, sweep=sweep) if ledger.exists() else ():
        if state.pattern == "run" and not state.holds:
            continue
        covers = (state.pattern, state.period, state.unit)
        budget = limits.get(covers)
        touched.add(covers)
        found.append(
            BudgetStatus(
                scope=state.scope,
                per=state.period,
                limit=budget.limit if budget else None,
                spent=amount_of(state.spent, state.unit),
                held=amount_of(state.held, state.unit),
                holds=state.holds,
                resets_at=state.resets_at,
                unit=state.unit,
                projected=_projected(state, now, zone),
            )
        )
    nothing = Decimal(0)
    for key, budget in limits.items():
        if key not in touched:
            resets = window(budget.per, now, zone).end
            found.append(
                BudgetStatus(
                    budget.scope,
                    budget.per,
                    budget.limit,
                    nothing,
                    nothing,
                    0,
                    resets,
                    budget.unit,
                )
            )
    return found


def _projected(state: BucketState, now: datetime, zone: tzinfo) -> Decimal | None:
    count = window(state.period, now, zone).projected(state.spent, now)
    return None if count is None else amount_of(count, state.unit)


def _add(earlier: Total | None, total: Total, group: tuple[str, ...]) -> Total:
    if earlier is None:
        return Total(group, *_sums(total))
    pairs = zip(_sums(earlier), _sums(total), strict=True)
    return Total(group, *(one + other for one, other in pairs))


def _sums(total: Total) -> tuple[int, ...]:
    return astuple(total)[1:]  # all but the group
