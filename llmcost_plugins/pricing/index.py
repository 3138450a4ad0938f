"""The keys of a price map, found by name, by provider, by last part and without a snapshot."""

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from llmcost_plugins.pricing.entries import compile_prices, local_prices
from llmcost_plugins.pricing.layouts import RawPrices
from llmcost_plugins.pricing.maps import PriceMap
from llmcost_plugins.pricing.providers import owner, prefix_of
from llmcost_plugins.pricing.rates import Prices

MOST_NAMES: Final = 5
"""Names of other entries that an answer carries."""
_CHAIN: Final = 5
_SNAPSHOT: Final = re.compile(
    r"(?:[-@](?:20\d{2}-\d{2}-\d{2}|20\d{6}|\d{2}-20\d{2}|\d{3,4}|latest|default))?"
    r"(?:-v\d+(?::\d+)?)?$"
)
_WORD: Final = re.compile(r"[a-z]+")
_ALIKE: Final = 0.75


class KeyIndex:
    """Finds keys of a price map, and compiles the prices of an entry when they are first wanted.

    Case matters first, then not. What is found is a key as the map writes it.
    """

    def __init__(self, models: RawPrices) -> None:
        self._models = models
        self._compiled: dict[str, Prices | str] = {}

    def find(self, name: str) -> str | None:
        """Return the key that *name* is."""
        return name if name in self._models else self._folded.get(name.casefold())

    def at(self, name: str, provider: str) -> Iterator[str]:
        """Yield the keys that *name* is at a provider: the full key first."""
        for spelled in (name, f"{prefix_of(provider)}/{name}"):
            key = self.find(spelled)
            if key and self.provider(key) == provider:
                yield key

    def snapshots(self, name: str, provider: str) -> tuple[str, ...]:
        """Return the provider's keys that are *name* with a date, a version or ``latest``."""
        return tuple(
            key
            for spelled in (name, f"{prefix_of(provider)}/{name}")
            for key in self._families.get(spelled.casefold(), ())
            if self.provider(key) == provider
        )

    def hosts(self, name: str) -> tuple[str, ...]:
        """Return the keys of all providers whose last part is *name*.

        Where a provider has the model with and without a region, those with one are left out.
        """
        keys = self._endings.get(name.casefold(), ()) if name else ()
        return tuple(key for key in keys if not self._is_regional(key))

    def provider(self, key: str) -> str:
        """Return LiteLLM's main name of the provider that serves *key*."""
        entry = self._models[key]
        label = entry.get("litellm_provider") or self._models[self.target(key)].get(
            "litellm_provider", ""
        )
        return owner(str(label))

    def target(self, key: str) -> str:
        """Return the key whose entry holds for *key*: its own, or the one it is an alias of."""
        for _ in range(_CHAIN):
            named = self._models[key].get("alias_of")
            known = self.find(named) if isinstance(named, str) else None
            if known is None:
                break
            key = known
        return key

    def is_alias(self, key: str) -> bool:
        """Tell whether the map has *key* only as another name."""
        return bool(self._models[key].get("alias_of"))

    def is_retired(self, key: str) -> bool:
        """Tell whether the newest map no longer has *key*."""
        return bool(self._models[key].get("retired"))

    def prices(self, key: str) -> Prices | str:
        """Return the prices that hold for *key*, or why it has none."""
        key = self.target(key)
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = self._compile(key)
        return found

    def why_not(self, key: str) -> str:
        """Return why *key* has no price; empty when it has one."""
        prices = self.prices(key)
        return prices if isinstance(prices, str) else ""

    def is_charged(self, key: str) -> bool:
        """Tell whether a price is known for *key*, and is not 0 throughout."""
        prices = self.prices(key)
        return isinstance(prices, Prices) and bool(prices.bands or any(prices.rates.values()))

    def near(self, name: str) -> tuple[str, ...]:
        """Return the keys whose last part looks most like that of *name*."""
        last = name.rpartition("/")[2].casefold()
        word = _WORD.search(last)
        if word is None:
            return ()
        pool = [ending for ending in self._endings if word[0] in ending]
        alike = difflib.get_close_matches(last, pool, 2 * MOST_NAMES, _ALIKE)
        keys = (self._shortest_priced(ending) for ending in alike)
        return tuple(key for key in keys if key)[:MOST_NAMES]

    def _shortest_priced(self, ending: str) -> str | None:
        priced = filter(self.is_charged, self._endings[ending])
        return min(priced, key=len, default=None)

    @cached_property
    def providers(self) -> frozenset[str]:
        """The main names of all providers of the map."""
        return frozenset(map(owner, PriceMap.of(self._models).labels()))

    def _compile(self, key: str) -> Prices | str:
        entry = self._models[key]
        if key.endswith(":free") and self.provider(key) == "openrouter" and _is_free(entry):
            return local_prices(key, "openrouter")
        return compile_prices(key, entry)

    def _is_regional(self, key: str) -> bool:
        folders, _, last = key.rpartition("/")
        first, slash, _ = folders.partition("/")
        plain = (f"{first}/{last}", last) if slash else ()
        return any(
            base in self._models and self.provider(base) == self.provider(key) for base in plain
        )

    @cached_property
    def _folded(self) -> dict[str, str]:
        # Of two keys that differ in case only, the first: the map's order is part of its content.
        folded: dict[str, str] = {}
        for key in self._models:
            folded.setdefault(key.casefold(), key)
        return folded

    @cached_property
    def _endings(self) -> Mapping[str, list[str]]:
        found = defaultdict(list)
        for key in self._models:
            found[key.rpartition("/")[2].casefold()].append(key)
        return dict(found)

    @cached_property
    def _families(self) -> Mapping[str, list[str]]:
        found = defaultdict(list)
        for key in self._models:
            folded = key.casefold()
            base = _SNAPSHOT.sub("", folded, count=1)
            if base != folded:
                found[base].append(key)
        return dict(found)


def _is_free(entry: Mapping[str, Any]) -> bool:
    """Tell whether the map says 0 for all that it prices, and prices something."""
    costs = [value for name, value in entry.items() if "cost" in name]
    return bool(costs) and all(value == 0 for value in costs)
