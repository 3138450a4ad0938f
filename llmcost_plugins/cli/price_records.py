"""What the commands ``llmcost prices`` say, as facts and as plain values for programs."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal

from llmcost_plugins.pricing import Prices
from llmcost_plugins.pricing.comparing import Differences
from llmcost_plugins.pricing.listing import UnitPrice, hours, multipliers, unit_of, unit_prices
from llmcost_plugins.pricing.rates import part_of
from llmcost_plugins.pricing.sources import Origin
from llmcost_plugins.tables import Record


@dataclass(frozen=True, slots=True)
class View:
    """All there is to know about the prices of a name.

    Attributes:
        name: as asked for.
        provider: the provider.
        match: how the name was matched.
        rule: by which rule.
        candidates: other models that the name may mean.
        alias_of: the model that the map prices it as, if it only names another one.
        prices: the prices.
        now: the current instant, to tell which version is in force.
        fingerprint: of the catalog.
        sources: what the catalog is made of.
    """

    name: str
    provider: str
    match: str
    rule: str
    candidates: tuple[str, ...]
    alias_of: str
    prices: Prices
    now: datetime
    fingerprint: str
    sources: tuple[Origin, ...]

    @property
    def in_force(self) -> Prices:
        """The version of the prices that holds now."""
        return self.prices.at(self.now)

    @property
    def versions(self) -> Iterator[tuple[datetime | None, datetime | None, Prices]]:
        """Successive prices, the first one first, each with when it begins and ends."""
        begin: datetime | None = None
        for end, prices in reversed(self.prices.earlier):
            yield begin, end, prices
            begin = end
        yield begin, None, self.prices


@dataclass(frozen=True, slots=True)
class Listed:
    """A model of the price map.

    Attributes:
        model: its name.
        provider: its provider.
        mode: what kind of model it is.
        prices: its prices; `None` when it has none.
        reason: why it has none.
    """

    model: str
    provider: str
    mode: str
    prices: Prices | None
    reason: str = ""

    @property
    def standard(self) -> dict[str, UnitPrice]:
        """The prices in the standard tier for short prompts, by meter."""
        found: dict[str, UnitPrice] = {}
        for line in unit_prices(self.prices) if self.prices else ():
            if not line.tier:
                found.setdefault(line.meter, line)
        return found


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a model in the ledger that someone should look at.

    Attributes:
        model: the model.
        provider: its provider.
        calls: how many calls are concerned.
        kind: ``unpriced`` or ``odd``.
        reason: what it is.
    """

    model: str
    provider: str
    calls: int
    kind: str
    reason: str


def view_record(view: View) -> Record:
    """Return all about a model as plain values; money as decimal strings in USD."""
    prices = view.in_force
    return {
        "name": view.name,
        "model": prices.model,
        "provider": view.provider,
        "match": view.match,
        "rule": view.rule,
        "candidates": list(view.candidates),
        "alias_of": view.alias_of,
        "retired": prices.retired,
        "max_input_tokens": prices.max_input_tokens,
        "max_output_tokens": prices.max_output_tokens,
        "prices": view_records(view),
        "multipliers": multipliers(prices),
        "off_peak_hours": hours(prices.off_peak) if prices.off_peak else [],
        "once_a_call": once_a_call(prices),
        "remarks": list(prices.remarks),
        "fingerprint": view.fingerprint,
        "sources": [source._asdict() for source in view.sources],
    }


def view_records(view: View) -> list[Record]:
    """Return the unit prices as plain values."""
    return [
        {
            "model": prices.model,
            "meter": line.meter,
            "usd": line.usd,
            "unit": unit_of(line.meter).name,
            "tier": line.tier,
            "above_prompt_tokens": line.above,
            "upto_prompt_tokens": line.upto,
            "off_peak": line.off_peak,
            "valid_from": begin.isoformat() if begin else None,
            "valid_until": end.isoformat() if end else None,
        }
        for begin, end, prices in view.versions
        for line in unit_prices(prices)
    ]


def list_records(listed: Iterable[Listed]) -> list[Record]:
    """Return models as plain values; money as decimal strings in USD."""
    return [_listed(item) for item in listed]


def difference_records(found: Differences) -> list[Record]:
    """Return differences as plain values; money as decimal strings in USD."""
    return [
        *(_whole_model(name, "added") for name in found.added),
        *(_whole_model(name, "removed") for name in found.removed),
        *(
            {
                "model": change.model,
                "change": "changed",
                "meter": change.meter,
                "when": change.when,
                "unit": change.unit,
                "old_usd": _text(change.old),
                "new_usd": _text(change.new),
                "percent": _text(change.percent),
            }
            for change in found.changed
        ),
    ]


def finding_records(findings: Iterable[Finding]) -> list[Record]:
    """Return findings as plain values."""
    return [asdict(finding) for finding in findings]


def _listed(item: Listed) -> Record:
    lines, prices = item.standard, item.prices
    return {
        "model": item.model,
        "provider": item.provider,
        "mode": item.mode,
        "input_usd_per_token": lines["input"].usd if "input" in lines else None,
        "output_usd_per_token": lines["output"].usd if "output" in lines else None,
        "max_input_tokens": prices.max_input_tokens if prices else None,
        "max_output_tokens": prices.max_output_tokens if prices else None,
        "retired": prices.retired if prices else "",
        "reason": item.reason,
    }


def _whole_model(model: str, change: str) -> Record:
    nothing = dict.fromkeys(("meter", "when", "unit", "old_usd", "new_usd", "percent"))
    return {"model": model, "change": change, **nothing}


def _text(number: Decimal | None) -> str | None:
    return None if number is None else f"{number:f}"


def once_a_call(prices: Prices) -> list[str]:
    """Return the fees that are due once a call, without the sizes that they come in."""
    return sorted(meter for meter in prices.once if part_of(meter) not in prices.once)
