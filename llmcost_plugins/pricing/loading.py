"""Puts the prices in force together: the newest map at hand, and the user's own prices over it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing.maps import PriceMap
from llmcost_plugins.pricing.sources import (
    Source,
    combined,
    fetched_map,
    installed_map,
    installed_version,
    load_map,
    packaged_snapshot,
)


def newest_prices(*, map_file: Path | None = None, fetched: Path | None = None) -> Source:
    """Return the newest map at hand, laid over the snapshot in the package.

    So a model that a newer map dropped keeps its last known price. Which one is newer: a fetched
    map than the snapshot by its date; an installed litellm than the snapshot by its version, and
    than a fetched map when that version was not yet at hand at the time of fetching.

    Args:
        map_file: the map of LiteLLM to use instead of looking for a newer one.
        fetched: where ``llmcost prices update`` stores its map.

    Raises:
        ConfigurationError: *map_file* is no map, or *fetched* cannot be read. (The map of an
            installed litellm that is broken is passed over.)
    """
    snapshot = packaged_snapshot()
    if map_file is None:
        newer = next(_newer(snapshot, fetched_map(fetched) if fetched else None), None)
    else:
        newer = load_map(map_file, ())
        if newer is None:
            msg = f"{str(map_file)!r} is not a price map of LiteLLM: JSON, one object a model"
            raise ConfigurationError(msg)
    return snapshot if newer is None else _laid_over(newer, snapshot)


def prices_in_force(
    *, map_file: Path | None = None, fetched: Path | None = None, own: Path | None = None
) -> Source:
    """Return the newest map with the user's own prices over it.

    Args:
        map_file: see `newest_prices`.
        fetched: see `newest_prices`.
        own: the file of the user's own prices, see `overrides.read_overrides`.

    Raises:
        ConfigurationError: see `newest_prices`; or *own* has something that cannot be used.
    """
    newest = newest_prices(map_file=map_file, fetched=fetched)
    if own is None:
        return newest
    # Not at the top: most have no such file.
    from llmcost_plugins.pricing.overrides import apply_overrides, read_overrides

    return apply_overrides(read_overrides(own), newest)


def litellm_at_hand() -> str:
    """Return the newest version of litellm whose map is at hand, in the package or installed."""
    path = installed_map()
    version = max(packaged_snapshot().version, installed_version(path) if path else ())
    return ".".join(map(str, version))


def _newer(snapshot: Source, fetched: Source | None) -> Iterator[Source]:
    """Yield the usable maps that are newer than the snapshot, the newest first."""
    path = installed_map()
    version = installed_version(path) if path else ()
    if fetched and fetched.date < snapshot.date:
        fetched = None
    if path and version > max(snapshot.version, fetched.version if fetched else ()):
        installed = load_map(path, version)
        if installed:
            yield installed
    if fetched:
        yield fetched


def _laid_over(newer: Source, older: Source) -> Source:
    released = ".".join(map(str, older.version))
    return replace(
        newer,
        fingerprint=combined(older.fingerprint, newer.fingerprint),
        models=PriceMap.of(newer.models).over(PriceMap.of(older.models), released),
        origins=(*older.origins, *newer.origins),
    )
