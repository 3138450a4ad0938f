"""The budgets of a page: what each has spent and holds, and where that leads to."""

from collections.abc import Sequence
from datetime import tzinfo
from decimal import Decimal
from typing import Final

from llmcost_plugins.budgets import BudgetStatus
from llmcost_plugins.money import format_count
from llmcost_plugins.page.charts import budget_bar, limit_swatch, swatch
from llmcost_plugins.page.markup import Markup, joined, label, tag
from llmcost_plugins.wording import percent

_SHOWN: Final = 12
_NEARLY: Final = Decimal("0.8")
_FAR_BEYOND: Final = 10
_GOOD: Final = ("good", "within")
_OVER: Final = ("bad", "used up")


def budget_bars(statuses: Sequence[BudgetStatus], zone: tzinfo) -> Markup:
    """Return a bar for each budget, the most used first."""
    ranked = sorted(
        (one for one in statuses if one.limit is not None),
        key=lambda one: (-one.used, one.scope, one.per, one.unit),
    )
    lines = [_line(one, zone) for one in ranked[:_SHOWN]]
    rest = len(ranked) - len(lines)
    more = tag("p", f"and {rest:,} more that are used less", class_="soft") if rest else None
    return joined(tag("ul", *lines, class_="budgets"), more, _legend() if lines else None)


def _line(status: BudgetStatus, zone: tzinfo) -> Markup:
    limit, spent, held, projected = (
        0 if amount is None else status.count(amount)
        for amount in (status.limit, status.spent, status.held, status.projected)
    )
    colour, words = _judged(status)
    unit = status.unit.value
    shown = format_count(spent, unit).removesuffix(f" {unit}")
    return tag(
        "li",
        tag(
            "div",
            tag("span", tag("b", label(status.scope)), f" per {status.per.value}"),
            tag("span", tag("b", shown), f" of {format_count(limit, unit)}"),
            class_="line",
        ),
        budget_bar(limit, spent, held, projected, colour),
        tag(
            "div",
            tag("span", tag("span", words, class_=colour), *_facts(status)),
            tag("span", _resets(status, zone)),
            class_="line facts",
        ),
    )


def _judged(status: BudgetStatus) -> tuple[str, str]:
    limit, spent = status.limit or Decimal(0), status.spent
    if spent >= limit:
        return _OVER
    if status.projected is not None and status.projected > limit:
        return "near", "on the way over"
    return ("near", "nearly used up") if status.used >= _NEARLY else _GOOD


def _facts(status: BudgetStatus) -> list[str]:
    unit, facts = status.unit.value, [f" · {_percent_used(status)} used"] if status.limit else []
    if status.holds:
        held = format_count(status.count(status.held), unit)
        facts.append(f" · {held} held by {status.holds:,} call{'s' * (status.holds > 1)}")
    if status.projected is not None:
        facts.append(f" · {format_count(status.count(status.projected), unit)} projected")
    return facts


def _percent_used(status: BudgetStatus) -> str:
    return f"{status.used:,.0%}" if status.used >= _FAR_BEYOND else percent(status.used)


def _resets(status: BudgetStatus, zone: tzinfo) -> str:
    if status.resets_at is None:
        return "never starts anew"
    return f"starts anew {status.resets_at.astimezone(zone):%Y-%m-%d %H:%M}"


def _legend() -> Markup:
    known = (
        ("spent good", "spent"),
        ("held", "held for calls in flight"),
        ("projected", "projected to the end of its period"),
    )
    entries = [tag("li", swatch(colour), words) for colour, words in known]
    return tag("ul", *entries, tag("li", limit_swatch(), "the limit"), class_="legend")
