"""Prices as tables for people."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmcost_plugins.cli.price_records import Finding, Listed, View, once_a_call
from llmcost_plugins.pricing import Prices
from llmcost_plugins.pricing.comparing import Change, Differences
from llmcost_plugins.pricing.listing import (
    Unit,
    UnitPrice,
    hours,
    multiplier_place,
    multipliers,
    unit_of,
    unit_prices,
)

_FOLD: Final[dict[str, Any]] = {"overflow": "fold"}
_RIGHT: Final[dict[str, Any]] = {"justify": "right", "no_wrap": True}
_SIDES: Final = ("input", "output")


def view_tables(view: View) -> RenderableType:
    """Return all about a model: the facts, then a table for each version of its prices."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(**_FOLD)
    for name, value in _facts(view):
        facts.add_row(name, Text(value))
    parts: list[RenderableType] = [
        Text(f"{view.prices.model} ({view.provider})", style="bold"),
        facts,
    ]
    versions = list(view.versions)
    for begin, end, prices in versions:
        if len(versions) > 1:
            parts.append(Text(_span(begin, end, view.now), style="bold"))
        parts.append(_price_table(prices))
    return Group(*parts)


def list_table(listed: Sequence[Listed]) -> Table:
    """Return models as a table with the main prices of each."""
    table = _table(f"{len(listed):,} models; input and output in USD per million tokens")
    table.add_column("Model", min_width=24, **_FOLD)
    table.add_column("Provider", **_FOLD)
    for heading in ("Input", "Output"):
        table.add_column(heading, **_RIGHT)
    table.add_column("Other", **_FOLD)
    for item in listed:
        lines = item.standard
        sides = [_dollars(lines[side]) if side in lines else "-" for side in _SIDES]
        table.add_row(item.model, item.provider, *sides, "; ".join(_notes(item)))
    return table


def difference_tables(found: Differences) -> RenderableType:
    """Return differences: the changed prices as a table, added and removed models as lists."""
    parts: list[RenderableType] = []
    if found.changed:
        parts.append(_change_table(found.changed))
    for word, names in (("added", found.added), ("removed", found.removed)):
        if names:
            parts.append(Text(f"{len(names):,} models {word}", style="bold"))
            parts.append(Padding(Text("\n".join(names)), (0, 0, 1, 2)))
    return Group(*parts)


def finding_table(findings: Iterable[Finding]) -> Table:
    """Return findings as a table."""
    table = _table("Prices to look at")
    table.add_column("Model", min_width=16, **_FOLD)
    table.add_column("Provider", **_FOLD)
    table.add_column("Calls", **_RIGHT)
    table.add_column("Kind", no_wrap=True)
    table.add_column("Reason", **_FOLD)
    for finding in findings:
        calls = f"{finding.calls:,}"
        table.add_row(finding.model, finding.provider, calls, finding.kind, finding.reason)
    return table


def _facts(view: View) -> Iterator[tuple[str, str]]:
    prices = view.in_force
    how = ", ".join(part for part in (view.match, view.rule) if part)
    limits = [
        f"{limit:,} tokens {way}"
        for limit, way in ((prices.max_input_tokens, "in"), (prices.max_output_tokens, "out"))
        if limit
    ]
    factors = [f"x {n} in {multiplier_place(place)}" for place, n in multipliers(prices).items()]
    retired = f"newer maps lack it; the prices are those of litellm {prices.retired}"
    facts = {
        "Matched": f"{view.name!r}: {how}",
        "Or": ", ".join(view.candidates),
        "Priced as": view.alias_of,
        "Limits": ", ".join(limits),
        "Multipliers": "; ".join(factors),
        "Off-peak": "; ".join(hours(prices.off_peak)) if prices.off_peak else "",
        "Once a call": ", ".join(once_a_call(prices)),
        "Retired": retired if prices.retired else "",
        "Remarks": "; ".join(prices.remarks),
        "Prices of": "\n".join(
            ", ".join(part for part in (source.name, source.date, source.fingerprint) if part)
            for source in view.sources
        ),
        "Fingerprint": view.fingerprint,
    }
    return ((name, value) for name, value in facts.items() if value)


def _price_table(prices: Prices) -> Table:
    table = _table()
    table.add_column("Meter", no_wrap=True)
    table.add_column("Price", no_wrap=True)
    table.add_column("When", **_FOLD)
    lines = [line for line in unit_prices(prices) if not _says_the_same(line, prices)]
    width = max((len(_dollars(line)) for line in lines), default=0)
    for line, following in zip(lines, [*lines[1:], None], strict=True):
        price = f"{_dollars(line):>{width}} / {_unit_name(unit_of(line.meter))}"
        ends = following is not None and following.when != line.when
        table.add_row(line.meter, price, line.when, end_section=ends)
    return table


def _says_the_same(line: UnitPrice, prices: Prices) -> bool:
    """Tell whether the price of a size of search is that of any search."""
    search = prices.rates.get(("web_search", 0, ""))
    return line.meter.startswith("web_search_") and line.rate == search


def _change_table(changes: Iterable[Change]) -> Table:
    table = _table("Prices that changed")
    table.add_column("Model and meter", min_width=32, **_FOLD)
    for heading in ("Old", "New"):
        table.add_column(heading, **_RIGHT)
    table.add_column("per", no_wrap=True)
    table.add_column("Change", **_RIGHT)
    model = ""
    for change in changes:
        if change.model != model:
            model = change.model
            table.add_row(Text(model, style="bold"))
        what = f"  {change.meter}{f', {change.when}' if change.when else ''}"
        unit = unit_of(change.meter)
        old, new = (_side(usd, unit) for usd in (change.old, change.new))
        table.add_row(what, old, new, _unit_name(unit) if change.unit else "", _by(change))
    return table


def _side(usd: Decimal | None, unit: Unit) -> str:
    return "-" if usd is None else _money(usd * unit.shown)


def _by(change: Change) -> str:
    if change.old is None or change.new is None:
        return "new" if change.old is None else "gone"
    return "-" if change.percent is None else f"{change.percent:+f} %"


def _notes(item: Listed) -> Iterator[str]:
    lines = item.standard
    if not any(lines[side].rate for side in _SIDES if side in lines):
        other = next((line for line in lines.values() if line.rate), None)
        if other:
            yield f"{_dollars(other)} / {_unit_name(unit_of(other.meter))}"
    if item.prices and item.prices.retired:
        yield f"retired after {item.prices.retired}"
    if item.reason:
        yield item.reason


def _dollars(line: UnitPrice) -> str:
    return _money(Decimal(line.usd) * unit_of(line.meter).shown)


def _money(usd: Decimal) -> str:
    # All digits that there are: a price is exact. At least cents, as people write them.
    whole, _, fraction = f"{usd:,f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def _unit_name(unit: Unit) -> str:
    return f"M {unit.name}s" if unit.shown > 1 else unit.name


def _span(begin: datetime | None, end: datetime | None, now: datetime) -> str:
    parts = [f"from {_moment(begin)}" if begin else "", f"until {_moment(end)}" if end else ""]
    in_force = (begin is None or begin <= now) and (end is None or now < end)
    return " ".join(["Prices", *filter(None, parts), *(["(in force)"] if in_force else [])])


def _moment(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC".replace(" 00:00 UTC", "")


def _table(title: str | None = None) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
