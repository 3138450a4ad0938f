"""What a page says of the rest of a span that runs: what each step brings, and how it will end."""

from collections import defaultdict
from datetime import timedelta
from typing import Final

from llmcost_plugins.forecast import NOMINAL, Forecast
from llmcost_plugins.money import nano_to_usd, usd_to_nano
from llmcost_plugins.overview import Overview
from llmcost_plugins.page.amounts import Amounts
from llmcost_plugins.page.charts import swatch
from llmcost_plugins.page.end_bars import end_bar
from llmcost_plugins.page.markup import Markup, head, joined, tag
from llmcost_plugins.page.timeline import Timeline

EXPECTED: Final = "expected"
"""The class of what is not yet spent."""


def forecast_of(found: Overview) -> Forecast | None:
    """Return the forecast that is worth showing: one with a band, of which something is to come."""
    forecast = found.forecast
    if forecast is None or forecast.low is None or forecast.expected == forecast.spent:
        return None
    return forecast


def expected_along(found: Overview, axis: Timeline) -> tuple[int, ...]:
    """Return the nano-dollars expected at each step; none for an axis of hours."""
    forecast = forecast_of(found)
    if forecast is None or axis.unit == "hour":
        return ()
    sums: dict[str, int] = defaultdict(int)
    today = found.at.astimezone(found.zone).date()
    for ahead, amount in enumerate(forecast.daily):
        day = today + timedelta(days=ahead)
        sums[axis.key_of(day.isoformat())] += usd_to_nano(amount)
    return tuple(sums.get(step.key, 0) for step in axis.steps)


def end_of_span(found: Overview, amounts: Amounts) -> Markup | None:
    """Return what will be spent by the end of the span, in words and as a bar."""
    forecast = forecast_of(found)
    if forecast is None or forecast.expected is None:
        return None
    spent, expected, low, high = (
        usd_to_nano(forecast.spent if one is None else one)
        for one in (forecast.spent, forecast.expected, forecast.low, forecast.high)
    )
    ends = joined(amounts.markup(nano_to_usd(low)), " to ", amounts.markup(nano_to_usd(high)))
    kind = f"{NOMINAL:.0%} band" if forecast.basis.is_sure else "rough band"
    figure = tag("b", amounts.markup(forecast.expected))
    known = (("sofar", "spent"), (EXPECTED, "expected"), ("range", kind))
    legend = (tag("li", swatch(colour), words) for colour, words in known)
    return tag(
        "div",
        tag(
            "div",
            tag("span", "At the end of the period"),
            tag("span", figure, " expected"),
            class_="line",
        ),
        end_bar(spent, low, expected, high),
        tag(
            "div",
            tag("span", kind, ": ", ends),
            tag("span", str(forecast.basis)),
            class_="line facts",
        ),
        tag("ul", *legend, class_="legend"),
        class_="end",
    )


def expected_table(axis: Timeline, expected: tuple[int, ...], amounts: Amounts) -> Markup:
    """Return what each step is expected to bring as a table."""

    def row(name: str, nano: int) -> Markup:
        cell = tag("td", amounts.markup(nano_to_usd(nano)))
        return tag("tr", tag("th", name, scope="row"), cell)

    body = (row(step.name, nano) for step, nano in zip(axis.steps, expected, strict=True) if nano)
    table = tag(
        "table",
        head((axis.unit.capitalize(), "Still expected")),
        tag("tbody", *body),
        tag("tfoot", row("Total", sum(expected))),
    )
    return tag("div", table, class_="scroll ahead")
