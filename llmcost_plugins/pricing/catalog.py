"""The catalog: model names to prices, with how the name was matched."""

import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llmcost_plugins.pricing.layouts import RawPrices
from llmcost_plugins.pricing.loading import prices_in_force
from llmcost_plugins.pricing.resolution import Resolution
from llmcost_plugins.pricing.sources import Origin, Source

if TYPE_CHECKING:
    from llmcost_plugins.pricing.names import NameResolver

_NAMES_KEPT: Final = 10_000


class Catalog:
    """Resolves model names; compiles an entry of the price map when it is first asked for.

    Args:
        source: the prices and the user's aliases, see `Catalog.load`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._resolved: dict[tuple[str, str | None], Resolution] = {}

    @classmethod
    def load(
        cls,
        *,
        map_file: Path | None = None,
        fetched: Path | None = None,
        own: Path | None = None,
    ) -> "Catalog":
        """Load the newest prices at hand, and the user's own over them.

        See `llmcost_plugins.pricing.loading.prices_in_force` for the arguments and the order.

        Raises:
            ConfigurationError: a file that is named cannot be used.
        """
        return cls(prices_in_force(map_file=map_file, fetched=fetched, own=own))

    @property
    def fingerprint(self) -> str:
        """Identify the prices in force; stored with every entry."""
        return self._source.fingerprint

    @property
    def source(self) -> str:
        """Say where the prices come from, for people."""
        return self._source.name

    @property
    def sources(self) -> tuple[Origin, ...]:
        """Say the same in parts; what comes later lies over what is before it."""
        return self._source.origins

    @property
    def models(self) -> RawPrices:
        """The entries of the price map in force, by model name."""
        return self._source.models

    def __len__(self) -> int:
        return len(self._source.models)

    def resolve(self, name: str, provider: str | None = None) -> Resolution:
        """Find the prices of *name* as a framework reports it, with its provider where known.

        Deterministic, never fails, remembered per name and provider. See
        `llmcost_plugins.pricing.names` for the order of the rules.
        """
        key = (name, provider)
        known = self._resolved.get(key)
        if known is None:
            if len(self._resolved) >= _NAMES_KEPT:
                self._resolved.clear()
            known = self._resolved[key] = self._names.resolve(name, provider)
        return known

    @cached_property
    def _names(self) -> "NameResolver":
        # Imported at the first name: its tables and patterns take 10 ms.
        from llmcost_plugins.pricing.names import NameResolver

        return NameResolver(self._source.models, self._source.aliases)


_lock = threading.Lock()
_shared: dict[tuple[Path | None, Path | None], Catalog] = {}


def shared_catalog(fetched: Path | None = None, own: Path | None = None) -> Catalog:
    """Return the catalog of these files that the process shares; loaded at the first call.

    Args:
        fetched: see `Catalog.load`.
        own: see `Catalog.load`.

    Raises:
        ConfigurationError: see `Catalog.load`.
    """
    with _lock:
        if (fetched, own) not in _shared:
            _shared[fetched, own] = Catalog.load(fetched=fetched, own=own)
        return _shared[fetched, own]


def shared_files(catalog: Catalog) -> tuple[Path | None, Path | None] | None:
    """Return the files that a shared catalog was loaded from; `None` for any other catalog."""
    with _lock:
        return next((files for files, shared in _shared.items() if shared is catalog), None)
