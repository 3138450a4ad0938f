"""The user's own prices: read from a file, laid over the price map."""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing.entries import LOCAL_PROVIDERS
from llmcost_plugins.pricing.layouts import ALIAS_OF
from llmcost_plugins.pricing.maps import PriceMap
from llmcost_plugins.pricing.merging import Merging, not_there, rest_of
from llmcost_plugins.pricing.near import hint
from llmcost_plugins.pricing.own_entries import OwnEntry, Place, read_entry
from llmcost_plugins.pricing.providers import owner, provider_of
from llmcost_plugins.pricing.sources import Origin, Source, combined, digest

_EVERY_MODEL: Final = "/*"
_ALWAYS: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a file of the user's own prices says.

    Attributes:
        path: the file.
        fingerprint: the first 16 hexadecimal digits of its SHA-256.
        models: what is stated of each model, successive versions in order.
        providers: discounts on all models of a provider.
    """

    path: Path
    fingerprint: str
    models: Mapping[str, tuple[OwnEntry, ...]]
    providers: Mapping[str, Decimal]


def read_overrides(path: Path) -> Overrides:
    """Read and check a TOML or JSON file of prices.

    It maps names of models to entries in LiteLLM's schema (USD per token or unit) with five fields
    more: ``currency`` and ``usd_rate`` (the USD for one unit of it), ``discount`` (the part of all
    prices that is taken off), ``valid_from`` (a date, or an instant) and ``alias`` (the model that
    this name is priced as). A list of entries gives successive versions. ``openai/*`` takes a
    discount for all models of a provider.

    Raises:
        ConfigurationError: the file cannot be read, or something in it cannot be used.
    """
    content = _content(path)
    models: dict[str, tuple[OwnEntry, ...]] = {}
    providers: dict[str, Decimal] = {}
    names: set[str] = set()
    for name, value in _parsed(path, content).items():
        place = Place(path, name)
        if name.casefold() in names:
            place.refuse_all("it is there twice, in upper and lower case")
        names.add(name.casefold())
        if name.endswith(_EVERY_MODEL):
            providers[name.removesuffix(_EVERY_MODEL)] = _only_discount(value, place)
        elif "*" in name:
            why = "a star stands for all models of a provider only"
            place.refuse_all(why, '["openai/*"]')
        else:
            models[name] = _versions(value, place)
    return Overrides(path, digest(content), models, providers)


def apply_overrides(own: Overrides, source: Source) -> Source:
    """Lay the user's own prices over a price map.

    Raises:
        ConfigurationError: a name is not in the map and has no price, or an alias leads nowhere.
    """
    models = PriceMap.of(source.models)
    aliases, factors = _aliases(own, models), _factors(own, models)
    merging = Merging(models, factors)
    spellings = {name.casefold(): name for name in models}
    entries: dict[str, Mapping[str, Any]] = {}
    for name, versions in own.models.items():
        place, spelled = Place(own.path, name), spellings.get(name.casefold(), name)
        if name not in models and name != spelled:
            place.refuse_all("the price map spells it otherwise", f'["{spelled}"]')
        alias = aliases.get(name)
        entries[name] = {ALIAS_OF: alias} if alias else _priced(merging, versions, place)
    origin = Origin(f"own prices in {str(own.path)!r}", "", "", own.fingerprint)
    return replace(
        source,
        name=f"{source.name}, with your own prices in {str(own.path)!r}",
        fingerprint=combined(source.fingerprint, own.fingerprint),
        models=models.with_own(entries, factors),
        aliases=aliases,
        origins=(*source.origins, origin),
    )


def _priced(merging: Merging, versions: tuple[OwnEntry, ...], place: Place) -> Mapping[str, Any]:
    entry = merging.entry(versions, place)
    prefix, slash, _ = place.model.partition("/")
    for provider in (owner(str(entry["litellm_provider"])), provider_of(prefix) if slash else None):
        if provider in LOCAL_PROVIDERS:
            # Resolution knows such models by their provider, and asks no map.
            why = (
                f"what {provider!r} serves runs on your own machine and costs nothing; to count a "
                f"price for it, make the name an alias of a model of yours that has one"
            )
            place.refuse_all(why, 'alias = "my-machine/llama3"')
    return entry


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"the prices in {str(path)!r} cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from None


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    readers: dict[str, Callable[[str], Any]] = {
        ".toml": partial(tomllib.loads, parse_float=Decimal),
        ".json": partial(
            json.loads,
            parse_float=Decimal,
            parse_constant=Decimal,
            object_pairs_hook=_without_doubles,
        ),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        msg = f"the file of prices {str(path)!r} must be named '.toml' or '.json'"
        raise ConfigurationError(msg)
    try:
        found = reader(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        msg = f"the prices in {str(path)!r} cannot be read: {error}"
        raise ConfigurationError(msg) from None
    if not isinstance(found, dict):
        msg = f"the prices in {str(path)!r} must be an object: names of models, each with its entry"
        raise ConfigurationError(msg)
    return found


def _without_doubles(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            msg = f"{name!r} is there twice"
            raise ValueError(msg)
        found[name] = value
    return found


def _versions(value: object, place: Place) -> tuple[OwnEntry, ...]:
    if not isinstance(value, list):
        return (read_entry(value, place),)
    versions = [read_entry(item, place) for item in value]
    for version in versions:
        if version.alias is not None:
            place.refuse("alias", version.alias, "a list of versions has prices, not an alias")
    begins = [version.valid_from for version in versions]
    for begin in begins:
        if begins.count(begin) > 1:
            why = "two versions of a model cannot begin at the same time"
            place.refuse("valid_from", begin, why, 'valid_from = "2027-01-01"')
    if not versions:
        place.refuse("its entry", value, "the list is empty", "discount = 0.15")
    return tuple(sorted(versions, key=lambda version: version.valid_from or _ALWAYS))


def _only_discount(value: object, place: Place) -> Decimal:
    entry = read_entry(value, place)
    if entry.discount is None or not isinstance(value, Mapping) or len(value) > 1:
        why = "all models of a provider can have a discount and nothing else"
        place.refuse("its entry", value, why, "discount = 0.15")
    return entry.discount


def _aliases(own: Overrides, models: PriceMap) -> dict[str, str]:
    """Return the aliases, each with the model that it is priced as in the end."""
    direct = {
        name: versions[0].alias
        for name, versions in own.models.items()
        if versions[0].alias is not None
    }
    return {name: _followed(name, direct, own, models) for name in direct}


def _followed(name: str, direct: Mapping[str, str], own: Overrides, models: PriceMap) -> str:
    place, way, target = Place(own.path, name), [name], direct[name]
    while target in direct:
        if target in way:
            place.refuse("alias", direct[name], "it leads back to itself")
        way.append(target)
        target = direct[target]
    if target not in models and target not in own.models:
        place.refuse("alias", target, not_there(target, {*models, *own.models}))
    return target


def _factors(own: Overrides, models: PriceMap) -> dict[str, Decimal]:
    """Return what prices are multiplied with, by the ``litellm_provider`` of their entry."""
    labels: dict[str, list[str]] = {}
    for label in models.labels() if own.providers else ():
        labels.setdefault(owner(label), []).append(label)
    found: dict[str, Decimal] = {}
    for name, discount in own.providers.items():
        place, provider = Place(own.path, f"{name}{_EVERY_MODEL}"), provider_of(name) or name
        if provider not in labels:
            place.refuse_all(f"the price map has no such provider{hint(name, labels)}")
        for label in labels[provider]:
            if label in found:
                place.refuse_all(f"the provider {provider!r} is there twice")
            found[label] = rest_of(discount)
    return found
