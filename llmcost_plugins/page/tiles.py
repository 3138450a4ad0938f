"""The figures at the top of a page, and at its end what to know of them."""

from collections.abc import Iterator
from decimal import Decimal

from llmcost_plugins.overview import Overview
from llmcost_plugins.page.amounts import Amounts
from llmcost_plugins.page.markup import Child, Markup, joined, tag
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.wording import change_text, percent, span_in_words


def tiles(found: Overview, amounts: Amounts) -> Markup:
    """Return the figures of the whole span."""
    total = found.models.total
    saved = total.saved + total.fallback_saved
    hits = total.share(total.cached)
    average = None
    if total.average is not None:
        unpriced = f", {total.unpriced:,} without a known price" if total.unpriced else ""
        average = joined(amounts.markup(total.average), f" each{unpriced}")
    return tag(
        "dl",
        _tile("Spent", amounts.markup(total.cost), _compared(found, amounts), first=True),
        _tile("Calls", f"{total.calls:,}", average),
        _tile("Saved", amounts.markup(saved), "by cache and cheaper models"),
        _tile(
            "From the cache",
            "-" if hits is None else percent(hits),
            f"{total.cached:,} of {total.calls:,} calls",
        ),
        _tile("Refused", f"{total.refused:,}", "calls, by budgets"),
        class_="tiles",
    )


def _compared(found: Overview, amounts: Amounts) -> Child:
    report, before = found.models, found.models.previous
    if before is None:
        return None
    if before.cost <= 0:
        return "nothing in the period before"
    if report.span.end is not None and report.span.end > found.at:
        # A part against a whole would always look like a saving.
        return joined(amounts.markup(before.cost), " in the whole period before")
    change = change_text(report.total.cost, before.cost)
    return joined(change, " after ", amounts.markup(before.cost), " in the period before")


def _tile(name: str, figure: Child, note: Child, *, first: bool = False) -> Markup:
    return tag(
        "div",
        tag("dt", name),
        tag("dd", figure, class_="figure"),
        tag("dd", note, class_="note") if note is not None else None,
        class_="tile first" if first else "tile",
    )


def notes(found: Overview, currency: Currency | None) -> Iterator[Markup]:
    """Return what to know of the figures, one by one."""
    total, before = found.models.total, found.models.before
    for count, words in (
        (total.inexact, "rest on an estimate"),
        (total.unpriced, "have no known price, and are missing in the cost"),
    ):
        if not total.calls:
            break
        share = percent(total.share(count) or Decimal(0))
        yield tag("li", f"{count:,} of {total.calls:,} calls ({share}) {words}.")
    if before is not None:
        yield tag("li", f"The period before: {span_in_words(before, found.zone)}.")
    if any("tag" in report.by for report in found.groups):
        yield tag("li", "A call with two tags is in the rows of both.")
    if currency is not None:
        rate = f"{currency.per_usd:f} for 1 USD as stated"
        yield tag("li", f"Amounts are in {currency.code}, at {rate}; budgets are in USD.")
