"""A price map: LiteLLM's entries by model name, read when they are asked for."""

from collections.abc import Iterator, Mapping
from decimal import Context, Decimal
from typing import Any, Final

from llmcost_plugins.pricing.keys import parse_key
from llmcost_plugins.pricing.layouts import (
    ALIAS_OF,
    RawPrices,
    is_marked_retired,
    provider_in,
    read_entry,
)

SEARCH_PRICES: Final = "search_context_cost_per_query"
SEARCH_SIZES: Final = tuple(f"search_context_size_{size}" for size in ("low", "medium", "high"))
_WIDE: Final = Context(prec=60)


class PriceMap(Mapping[str, Mapping[str, Any]]):
    """Entries by model name; each is parsed anew whenever it is asked for.

    An entry that only names another one (``alias_of``) is that one.

    Args:
        stored: the entries, or their lines, see `layouts.unpack`.
        retired: models that newer maps lack, with the last release of litellm that had them.
        factors: what prices are multiplied with, by the ``litellm_provider`` of their entry.
    """

    def __init__(
        self,
        stored: Mapping[str, bytes | Mapping[str, Any]],
        retired: Mapping[str, str] | None = None,
        factors: Mapping[str, Decimal] | None = None,
    ) -> None:
        self.stored = stored
        self._retired = retired or {}
        self._factors = factors or {}

    @classmethod
    def of(cls, models: RawPrices) -> "PriceMap":
        """Return entries as a price map."""
        return models if isinstance(models, cls) else cls(models)

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        entry = self._read(name)
        if ALIAS_OF not in entry:
            return entry
        way, marks = [name], {mark: entry[mark] for mark in ("retired",) if mark in entry}
        while ALIAS_OF in entry:
            target = str(entry[ALIAS_OF])
            if target in way:
                return {"unpriced": f"it is an alias of itself: {' -> '.join([*way, target])}"}
            if target not in self.stored:
                return {"unpriced": f"it is an alias of {target!r}, which the price map lacks"}
            way.append(target)
            entry = self._read(target)
        return {**entry, **marks, ALIAS_OF: way[-1]}

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)

    def __contains__(self, name: object) -> bool:
        return name in self.stored

    def current(self) -> Iterator[str]:
        """Yield the models that the newest map has."""
        for name, stored in self.stored.items():
            marked = is_marked_retired(stored) if isinstance(stored, bytes) else "retired" in stored
            if not marked and name not in self._retired:
                yield name

    def labels(self) -> set[str]:
        """Return the ``litellm_provider`` of all entries, without parsing any."""
        return {
            provider_in(stored)
            if isinstance(stored, bytes)
            else str(stored.get("litellm_provider", ""))
            for stored in self.stored.values()
        }

    def over(self, older: "PriceMap", retired: str) -> "PriceMap":
        """Lay this map over an older one, whose further models count as retired.

        Args:
            older: the map whose models keep their last price.
            retired: the release of litellm that the older map is of.
        """
        gone = dict.fromkeys(older.stored.keys() - self.stored.keys(), retired)
        return PriceMap({**older.stored, **self.stored}, gone)

    def with_own(
        self, own: Mapping[str, Mapping[str, Any]], factors: Mapping[str, Decimal]
    ) -> "PriceMap":
        """Return the map with the user's own entries and discounts (see `PriceMap`) in force."""
        return PriceMap({**self.stored, **own}, self._retired, factors)

    def _read(self, name: str) -> Mapping[str, Any]:
        stored = self.stored[name]
        entry = read_entry(name, stored) if isinstance(stored, bytes) else stored
        if name in self._retired and "retired" not in entry:
            entry = {**entry, "retired": self._retired[name]}
        if self._factors and not entry.get("is_final"):
            factor = self._factors.get(str(entry.get("litellm_provider", "")))
            return entry if factor is None else multiplied(entry, factor)
        return entry


def multiplied(entry: Mapping[str, Any], factor: Decimal) -> dict[str, Any]:
    """Return an entry with all its prices multiplied, those of bands and cheaper hours included."""
    return {
        field: _multiplied(value, factor, is_price=is_price(field))
        for field, value in entry.items()
    }


def is_price(field: str) -> bool:
    """Tell whether the number of a field is a price."""
    return field in SEARCH_SIZES or parse_key(field) is not None


def _multiplied(value: Any, factor: Decimal, *, is_price: bool) -> Any:
    if isinstance(value, Mapping):
        return multiplied(value, factor)
    if isinstance(value, list):
        return [_multiplied(item, factor, is_price=False) for item in value]
    if is_price and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _WIDE.multiply(Decimal(str(value)), factor)
    return value
