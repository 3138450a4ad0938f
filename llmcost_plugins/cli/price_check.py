"""Looks for models of the ledger without a price, and for prices that look wrong."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from llmcost_plugins.cli.price_records import Finding
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.pricing import Catalog, Resolution, cost_of

_NO_PROVIDER: Final = "unknown"

_Model = tuple[str, str]


def price_findings(ledger: Ledger, catalog: Catalog) -> Iterator[Finding]:
    """Yield what someone should look at, by the prices in force now.

    A call that was recorded without a price, but has one by now, is no finding.
    """
    in_part: set[_Model] = set()
    for total in ledger.totals(["model", "provider"]):
        model, provider = total.group
        found = _resolved(catalog, (model, provider))
        if found.prices is None:
            calls = total.calls + total.refused
            yield Finding(model, provider, calls, "unpriced", found.reason)
            continue
        if total.unpriced:
            in_part.add((model, provider))
        for remark in found.prices.remarks:
            yield Finding(model, provider, total.calls, "odd", remark)
    # All entries are read only when some are known to need it.
    if in_part:
        yield from _unpriced_meters(ledger, catalog, in_part)


def _unpriced_meters(ledger: Ledger, catalog: Catalog, models: set[_Model]) -> Iterator[Finding]:
    calls: Counter[tuple[str, str, str]] = Counter()
    for entry in ledger.entries():
        model = (entry.call.model, entry.call.provider)
        prices = _resolved(catalog, model).prices if model in models else None
        if prices:
            cost = cost_of(entry.outcome.usage, prices, entry.call.at)
            calls.update((*model, meter) for meter in cost.unpriced)
    for (name, provider, meter), count in calls.items():
        yield Finding(name, provider, count, "unpriced", f"it has no price for {meter}")


def _resolved(catalog: Catalog, model: _Model) -> Resolution:
    name, provider = model
    return catalog.resolve(name, None if provider == _NO_PROVIDER else provider)
