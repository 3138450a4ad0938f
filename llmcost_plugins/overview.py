"""What a page about a span of time shows: spending over time, by model and by whom; budgets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from llmcost_plugins.budgets import BudgetStatus
from llmcost_plugins.forecast import Forecast
from llmcost_plugins.reporter import CostReporter, Report

DEFAULT_GROUPS: Final = ("feature", "team")
"""What the spending of a page is broken down by, unless something else is asked for."""
_BY_HOURS: Final = timedelta(days=2)
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Overview:
    """What a page about a span of time shows.

    Attributes:
        models: the spending by model, with the sums of the whole span and of the one before.
        times: the same by hour or day, and model.
        groups: the same by whatever else was asked for.
        budgets: how budgets stand, now and not in the span.
        at: when this was put together.
        zone: whose days and hours.
        forecast: how the span will end; `None` where that is not known.
    """

    models: Report
    times: Report
    groups: tuple[Report, ...]
    budgets: tuple[BudgetStatus, ...]
    at: datetime
    zone: tzinfo
    forecast: Forecast | None = None


def overview(  # noqa: PLR0913 - the parts of a page
    reporter: CostReporter,
    found: Report,
    by: Sequence[str] = DEFAULT_GROUPS,
    *,
    now: datetime,
    budgets: Sequence[BudgetStatus] = (),
    forecast: Forecast | None = None,
) -> Overview:
    """Look closer at the span of a report.

    Its parts are asked for one by one. Should a call end in between, all are asked for again, twice
    at most; of a ledger that changes all the time they may differ by the calls of an instant.

    Args:
        reporter: where to ask.
        found: the report; of its groups nothing is used.
        by: what to break the spending down by, beside time and model; see `CostReporter.report`.
        now: the current instant.
        budgets: how budgets stand.
        forecast: how the span will end, see `Forecaster.rest_of`.

    Raises:
        ConfigurationError: a group means nothing.
    """
    span = found.span
    end = now if span.end is None else min(span.end, now)
    by_hours = span.start is not None and end - span.start <= _BY_HOURS
    time = "hour" if by_hours else "day"
    wanted = [["model"], [time, "model"], *([one] for one in by)]
    parts: list[Report] = []
    for _ in range(_TRIES):
        parts = [reporter.over(span, groups, found.before) for groups in wanted]
        if all(part.total == parts[0].total for part in parts):
            break
    models, times, *groups = parts
    return Overview(models, times, tuple(groups), tuple(budgets), now, reporter.zone, forecast)
