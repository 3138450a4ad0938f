"""Merges what the user states of a model with what the price map says of it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Context, Decimal
from typing import Any, Final

from llmcost_plugins.pricing.entries import compile_prices
from llmcost_plugins.pricing.layouts import ALIAS_OF
from llmcost_plugins.pricing.maps import PriceMap, multiplied
from llmcost_plugins.pricing.near import hint
from llmcost_plugins.pricing.own_entries import OwnEntry, Place

_WIDE: Final = Context(prec=60)

Entry = Mapping[str, Any]


class Merging:
    """Merges entries of the user's own with those of a price map.

    Args:
        models: the price map.
        factors: what prices are multiplied with, by the ``litellm_provider`` of their entry.
    """

    def __init__(self, models: PriceMap, factors: Mapping[str, Decimal]) -> None:
        self._models = models
        self._factors = factors

    def entry(self, versions: tuple[OwnEntry, ...], place: Place) -> Entry:
        """Return the newest version of a model, with those before it under ``earlier``.

        The first is the map's own entry, unless the user's first version has no beginning.

        Raises:
            ConfigurationError: a version has no price, or no price can be computed from it.
        """
        listed = self._models.get(place.model)
        built: list[tuple[datetime | None, Entry]] = []
        if versions[0].valid_from is not None and listed is not None:
            built.append((None, self._discounted(listed)))
        built += [(version.valid_from, self._merge(version, listed, place)) for version in versions]
        earlier = [(built[n][0], built[n - 1][1]) for n in range(len(built) - 1, 0, -1)]
        newest = built[-1][1]
        return {**newest, "earlier": tuple(earlier)} if earlier else newest

    def _merge(self, version: OwnEntry, base: Entry | None, place: Place) -> Entry:
        if not version.has_prices:
            self._must_be_priced(base, place)
        entry = {
            field: value
            for field, value in (base or {"litellm_provider": _provider(place.model)}).items()
            if field not in {ALIAS_OF, "unpriced"}
            and not (field == "tiered_pricing" and version.replaces_bands)
        }
        entry.update(version.fields)
        if version.discount is not None:
            entry = multiplied(entry, rest_of(version.discount))
        elif not version.has_prices:
            entry = dict(self._discounted(entry))
        entry |= {"stated_by_user": True, "is_final": True}
        prices = compile_prices(place.model, entry)
        if isinstance(prices, str):
            why = (
                f"{prices}; state input_cost_per_token and output_cost_per_token, or the mode, "
                f"e.g. mode = 'embedding'"
            )
            place.refuse_all(why)
        return entry

    def _must_be_priced(self, base: Entry | None, place: Place) -> None:
        reason = not_there(place.model, self._models) if base is None else ""
        if base is not None:
            prices = compile_prices(place.model, base)
            reason = prices if isinstance(prices, str) else ""
        if reason:
            good = "input_cost_per_token = 0.0000025"
            place.refuse_all(f"its entry states no price, and {reason}", good)

    def _discounted(self, entry: Entry) -> Entry:
        factor = self._factors.get(str(entry.get("litellm_provider", "")))
        return entry if factor is None else multiplied(entry, factor)


def rest_of(discount: Decimal) -> Decimal:
    """Return what a price with a discount is multiplied with."""
    return _WIDE.subtract(Decimal(1), discount)


def not_there(name: str, known: Iterable[str]) -> str:
    """Say that no model has that name, and which ones have nearly that name."""
    return f"the price map has no such model{hint(name, known)}"


def _provider(name: str) -> str:
    prefix, slash, _ = name.partition("/")
    return prefix if slash else "unknown"
