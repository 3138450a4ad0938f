"""What differs between the prices of two maps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from llmcost_plugins.pricing.entries import compile_prices
from llmcost_plugins.pricing.layouts import RawPrices
from llmcost_plugins.pricing.listing import (
    multiplier_place,
    multipliers,
    unit_of,
    unit_prices,
)
from llmcost_plugins.pricing.rates import Prices

JUMP: Final = 3
"""A price that changes by more than this factor is looked at by a human being."""


@dataclass(frozen=True, slots=True)
class Change:
    """A price that is another one, or that only one of the maps has.

    Attributes:
        model: the model.
        meter: what is priced, see `llmcost_plugins.usage`; or ``multiplier``.
        when: when the price holds; empty: always.
        unit: what it is for, e.g. ``token``; empty for a multiplier.
        old: USD for one unit; `None` where the old map has none.
        new: likewise.
    """

    model: str
    meter: str
    when: str
    unit: str
    old: Decimal | None
    new: Decimal | None

    @property
    def percent(self) -> Decimal | None:
        """By how much it has changed; `None` where that is no number."""
        if not self.old or self.new is None:
            return None
        return ((self.new / self.old - 1) * 100).quantize(Decimal("0.1"))

    @property
    def factor(self) -> Decimal:
        """By which factor it has changed, up or down; infinite from or to 0."""
        if self.old is None or self.new is None or self.old == self.new:
            return Decimal(1)
        low, high = sorted((self.old, self.new))
        return high / low if low else Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs between two maps.

    Attributes:
        added: models that only the new one has a price of.
        removed: models that only the old one has a price of.
        changed: prices of models of both.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def compiled(models: RawPrices, names: Iterable[str]) -> dict[str, Prices]:
    """Return the prices of those models that have usable ones."""
    found = ((name, compile_prices(name, models[name])) for name in names)
    return {name: prices for name, prices in found if isinstance(prices, Prices)}


def differences(old: Mapping[str, Prices], new: Mapping[str, Prices]) -> Differences:
    """Compare the prices of two maps."""
    both = sorted(old.keys() & new.keys())
    changed = [change for name in both for change in _changes(name, old[name], new[name])]
    return Differences(
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(old.keys() - new.keys())),
        tuple(changed),
    )


def _changes(model: str, old: Prices, new: Prices) -> Iterable[Change]:
    before, after = _lines(old), _lines(new)
    for key in dict.fromkeys((*before, *after)):
        one, other = before.get(key), after.get(key)
        if one != other:
            yield Change(model, *key, one, other)


def _lines(prices: Prices) -> dict[tuple[str, str, str], Decimal]:
    lines = {
        (line.meter, line.when, unit_of(line.meter).name): Decimal(line.usd)
        for line in unit_prices(prices)
    }
    for place, factor in multipliers(prices).items():
        lines["multiplier", multiplier_place(place), ""] = Decimal(factor)
    return lines
