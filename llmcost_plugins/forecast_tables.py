"""Forecasts as tables for people, and as JSON and CSV for programs."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from functools import partial
from typing import Any, Final

from rich.console import Group
from rich.text import Text

from llmcost_plugins.budgets import Unit
from llmcost_plugins.forecast import NOMINAL, Anomaly, Basis, BudgetForecast, Forecast
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.tables import Record, plain_table, write_csv
from llmcost_plugins.wording import currency_record, money_record, money_text, rate_text

_BAND: Final = f"{NOMINAL:.0%} band"
_MANY: Final = 1_000_000  # from here on tables show millions


def forecast_json(
    by: Sequence[str],
    found: Sequence[Forecast],
    budgets: Sequence[BudgetForecast],
    anomalies: Sequence[Anomaly] = (),
    currency: Currency | None = None,
) -> str:
    """Write forecasts as a JSON object; money as decimal strings, in USD and in *currency*.

    What is spent and expected is; budgets, and what is out of the ordinary, are in USD only.
    """
    rows = [
        {**dict(zip(by, one.group, strict=True)), **_record(one, currency)} for one in found[1:]
    ]
    span = found[0].span if found else None
    document = {
        "by": list(by),
        "since": span and span.start and span.start.isoformat(),
        "until": span and span.end and span.end.isoformat(),
        "band": f"{NOMINAL}",
        "currency": currency_record(currency),
        "rows": rows,
        "total": _record(found[0], currency) if found else None,
        "budgets": [_budget_record(one) for one in budgets],
        "unusual": [_anomaly_record(one) for one in anomalies],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def forecast_csv(
    by: Sequence[str],
    found: Sequence[Forecast],
    budgets: Sequence[BudgetForecast],
    currency: Currency | None = None,
) -> str:
    """Write forecasts as CSV: the column *line* tells ``row``, ``total`` and ``budget`` apart."""
    lines: list[Record] = []
    for one in found:
        group = one.group or ("",) * len(by)
        names = dict(zip(by, group, strict=True))
        lines.append({"line": "row" if one.group else "total", **names, **_record(one, currency)})
    lines += [{"line": "budget", **_budget_record(budget)} for budget in budgets]
    # In the order of their first appearance; what a kind of line does not have stays empty.
    columns = list(dict.fromkeys(key for line in lines for key in line))
    return write_csv([{key: line.get(key) for key in columns} for line in lines])


def forecast_table(  # noqa: PLR0913, PLR0917 - what is shown, and how
    title: str,
    by: Sequence[str],
    found: Sequence[Forecast],
    budgets: Sequence[BudgetForecast],
    zone: tzinfo,
    currency: Currency | None = None,
) -> Group:
    """Return forecasts as a table, and one of the budgets below it."""

    def show(amount: Decimal) -> str:
        return _money(amount, currency)

    parts: list[Any] = []
    if found:
        table = plain_table(title)
        for name in by or ("",):
            table.add_column(Text(name.capitalize()), overflow="fold", min_width=8)
        for heading in ("Spent", "At the end", _BAND):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("Rests on", overflow="fold", min_width=14)
        for one in [*found[1:], found[0]]:
            group = [value or "(none)" for value in one.group]
            group = group or ["all calls", *([""] * (len(by) - 1))]
            amounts = _money(one.spent, currency), _money(one.expected, currency)
            table.add_row(*map(Text, group), *amounts, _band(one, show), str(one.basis))
        parts.append(table)
    if budgets:
        parts.append(_budget_table(budgets, zone))
    if currency is not None:
        parts.append(Text(f"{rate_text(currency)}; budgets are in USD"))
    return Group(*parts)


def _budget_table(budgets: Sequence[BudgetForecast], zone: tzinfo) -> Any:
    table = plain_table(f"Budgets ({zone})")
    table.add_column("Budget", overflow="fold", min_width=12)
    for heading in ("Limit", "Spent", "At the end", _BAND):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Runs out", overflow="fold", min_width=14)
    for one in budgets:
        unit = "" if one.unit is Unit.USD else f" ({one.unit})"
        amounts = (_amount(value, one.unit) for value in (one.limit, one.spent, one.expected))
        band = _band(one, partial(_amount, unit=one.unit))
        row = (*amounts, band, runs_out_in_words(one, zone))
        # As Text: a value such as "[/red]" is no markup.
        table.add_row(Text(f"{one.scope} per {one.period}{unit}"), *row)
    return table


def runs_out_in_words(one: BudgetForecast, zone: tzinfo) -> str:
    """Say when a budget runs out, and how sure that is."""

    def moment(at: datetime) -> str:
        return f"{at.astimezone(zone):%m-%d %H:%M}"

    if one.is_used_up:
        return "used up"
    early, late = one.at_the_earliest, one.at_the_latest
    chance = "" if one.chance is None else f" ({one.chance:.0%} likely)"
    if one.runs_out_at is not None:
        span = f", {moment(early)} to {moment(late) if late else 'never'}" if early else ""
        return f"{moment(one.runs_out_at)}{span}{chance}"
    if early is not None:
        return f"not expected; {moment(early)} at the earliest{chance}"
    return f"unknown: {one.basis}" if not one.basis.days else "not expected"


def _record(one: Forecast, currency: Currency | None) -> Record:
    return {
        **money_record("spent", one.spent, currency),
        **money_record("expected", one.expected, currency),
        **money_record("low", one.low, currency),
        **money_record("high", one.high, currency),
        "band": _nominal(one),
        **_basis_record(one.basis),
        "unpriced": one.unpriced,
    }


def _budget_record(one: BudgetForecast) -> Record:
    return {
        "scope": one.scope,
        "period": one.period,
        "unit": one.unit.value,
        "limit": _text(one.limit),
        "spent": _text(one.spent),
        "expected": _text(one.expected),
        "low": _text(one.low),
        "high": _text(one.high),
        "band": _nominal(one),
        "chance": _text(one.chance),
        "runs_out_at": _instant(one.runs_out_at),
        "at_the_earliest": _instant(one.at_the_earliest),
        "at_the_latest": _instant(one.at_the_latest),
        **_basis_record(one.basis),
    }


def _anomaly_record(one: Anomaly) -> Record:
    return {
        "kind": one.kind.value,
        "model": one.model,
        "day": one.day.isoformat(),
        "now": _text(one.now),
        "usual": _text(one.usual),
        "extra_usd": _text(one.extra),
        "spent_usd": _text(one.spent),
    }


def _basis_record(basis: Basis) -> Record:
    return {
        "method": basis.method.value,
        "days": basis.days,
        "tries": basis.tries,
        "error": _text(basis.error),
        "sure": basis.is_sure,
    }


def _nominal(one: Forecast | BudgetForecast) -> str | None:
    """Return in what part of all cases the truth lies in the band; of a rough one, nobody knows."""
    return f"{NOMINAL}" if one.basis.is_sure and one.low is not None else None


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _money(amount: Decimal | None, currency: Currency | None = None) -> str:
    return "-" if amount is None else money_text(amount, currency)


def _amount(amount: Decimal | None, unit: Unit) -> str:
    if amount is None or unit is Unit.USD:
        return _money(amount)
    return f"{amount / 1_000_000:,.1f}M" if amount >= _MANY else f"{amount:,}"


def _band(one: Forecast | BudgetForecast, show: Callable[[Decimal], str]) -> str:
    if one.low is None or one.high is None:
        return "-"
    rough = "" if one.basis.is_sure else "rough "
    return f"{rough}{show(one.low)} - {show(one.high)}"
