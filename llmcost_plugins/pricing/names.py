"""From the name of a model, as a framework reports it, to an entry of the price map.

The order is fixed, so that a name always means the same entry: the user's alias; the key itself;
the name without what clients wrap around it; then, at the provider that is asked, the spellings
that mean the same model, the one price that all its snapshots have, the spellings that leave
something out, the dearest of its snapshots; last, another host's list price, marked as such. Where
no provider is known, the maker of the model is asked, and after it all hosts, if they agree.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Final, NamedTuple

from llmcost_plugins.pricing.entries import LOCAL_PROVIDERS, local_prices
from llmcost_plugins.pricing.index import KeyIndex
from llmcost_plugins.pricing.layouts import RawPrices
from llmcost_plugins.pricing.providers import owner, provider_of
from llmcost_plugins.pricing.resolution import NOBODY, Match, Resolution
from llmcost_plugins.pricing.search import Hit, Notes, PriceSearch
from llmcost_plugins.pricing.spellings import BEDROCK_ID
from llmcost_plugins.pricing.wrappers import Unwrapped, unwrap

_LONGEST: Final = 400
"""Characters; the longest key of the map has about 100, an ARN around one 100 more."""


class _Asked(NamedTuple):
    """What is looked for.

    Attributes:
        name: as the framework reports it.
        model: without what clients wrap around it.
        serving: the provider that is asked, or `None`.
        hinted: the framework named the provider; else the name did, or nobody.
    """

    name: str
    model: str
    serving: str | None
    hinted: bool


class NameResolver:
    """Finds the entry of a price map that a name means. The same input gives the same output.

    A variant of a model that OpenRouter serves for nothing (``:free``) costs nothing only if the
    map has that very key at 0; otherwise it is estimated at the price of the paid one.

    Args:
        models: the entries of the map by key.
        aliases: what the user calls models, to what they are: ``{"my-deployment": "gpt-4o"}``, or
            ``{"azure/my-deployment": "azure/eu/gpt-4o"}`` for one provider only. Case does not
            matter. An alias of an alias is not followed.
    """

    def __init__(self, models: RawPrices, aliases: Mapping[str, str]) -> None:
        self._index = KeyIndex(models)
        self._search = PriceSearch(self._index)
        self._aliases = {name.casefold(): target for name, target in aliases.items()}

    def resolve(self, name: str, provider: str | None) -> Resolution:
        """Resolve *name* at *provider*, spelled as any framework does. Never fails."""
        asked = provider_of(provider)
        target = self._alias(name, provider, asked) if self._aliases else None
        if target is None:
            return self._resolve(name, asked)
        return self._through_alias(name, target, asked)

    def _alias(self, name: str, provider: str | None, asked: str | None) -> str | None:
        places = [f"{serving}/{name}" for serving in (provider, asked) if serving]
        found = (self._aliases.get(place.casefold()) for place in (*places, name))
        return next(filter(None, found), None)

    def _through_alias(self, name: str, target: str, asked: str | None) -> Resolution:
        """Resolve the target at the provider that is asked, or as it stands if it is not there."""
        found = self._resolve(target, None)
        # The alias of a local model says what it is to cost; without one it is free.
        if asked and asked not in LOCAL_PROVIDERS:
            there = self._resolve(target, asked)
            if there.match.is_certain or found.prices is None:
                found = there
        if found.prices is None:
            reason = f"its alias {target!r} has no price: {found.reason}"
            return replace(found, name=name, model=name, reason=reason)
        match = Match.ALIAS if found.match is Match.EXACT else found.match
        return replace(found, name=name, match=match, rule=f"your alias, {found.rule}")

    def _resolve(self, name: str, asked: str | None) -> Resolution:
        serving, model = (asked, name) if asked else self._search.split(name)
        if serving in LOCAL_PROVIDERS:
            return _local(name, serving, model)
        if len(name) > _LONGEST:
            reason = f"it is longer than {_LONGEST} characters, which no model's name is"
            return Resolution(name, name, asked or NOBODY, Match.UNKNOWN, None, reason)
        notes = Notes()
        hit = self._search.first(self._search.as_it_stands(name, asked), notes)
        if hit:
            return _resolved(name, hit)
        inner = unwrap(name)
        if inner.opaque:
            serving = inner.provider or asked or NOBODY
            return Resolution(name, name, serving, Match.UNKNOWN, None, inner.opaque)
        return self._unwrapped(name, asked, inner, notes)

    def _unwrapped(
        self, name: str, asked: str | None, inner: Unwrapped, notes: Notes
    ) -> Resolution:
        serving, model = self._serving(asked, inner)
        if serving in LOCAL_PROVIDERS:
            return _local(name, serving, model)
        named = (
            self._search.at(model, serving, inner.region)
            if serving
            else self._search.anywhere(model)
        )
        hit = self._search.first(named, notes)
        if hit is None:
            return self._elsewhere(_Asked(name, model, serving, asked is not None), notes)
        if inner.rule:
            match = Match.ALIAS if hit.match is Match.EXACT else hit.match
            hit = hit._replace(match=match, rule=f"{inner.rule}, {hit.rule}")
        return _resolved(name, hit)

    def _serving(self, asked: str | None, inner: Unwrapped) -> tuple[str | None, str]:
        """Say who is asked for which model: what is wrapped around a name knows it best."""
        # Vertex's clients write `models/` as well, which by itself means Google AI Studio.
        if inner.provider and (asked, inner.provider) != ("vertex_ai", "gemini"):
            return inner.provider, inner.name
        if asked:
            return asked, inner.name
        serving, model = self._search.split(inner.name)
        if serving is None and BEDROCK_ID.match(model):
            return "bedrock", model
        return serving, model

    def _elsewhere(self, asked: _Asked, notes: Notes) -> Resolution:
        """Find another host's price; where one was asked for, as a stand-in for its own."""
        hit, model = None, asked.model
        notes.elsewhere = True
        if asked.serving:
            other, model = self._search.split(model)
            named = (
                self._search.as_it_stands(asked.model, None),
                self._search.at(model, other) if other else (),
                self._search.anywhere(model),
            )
            hit = self._search.first(chain.from_iterable(named), notes)
        hit = hit or self._search.everywhere(model, notes)
        if hit is None:
            return self._nowhere(asked, notes)
        found = _resolved(asked.name, hit)
        if asked.serving is None:
            return found
        rule = f"the list price of {found.provider}, {found.rule}"
        return replace(found, provider=asked.serving, match=Match.STAND_IN, rule=rule)

    def _nowhere(self, asked: _Asked, notes: Notes) -> Resolution:
        name, serving = asked.name, asked.serving or NOBODY
        if not notes.disagreeing:
            reason, near = notes.reason or "it is not in the price map", self._index.near(name)
            return Resolution(name, name, serving, Match.UNKNOWN, None, reason, candidates=near)
        reason = "hosts ask different prices for it: pass its provider or add an alias"
        if asked.hinted:
            reason = (
                f"the price map has none of {serving!r} for it, and other hosts ask different "
                f"prices: add an alias that says which one holds"
            )
        hosts = notes.disagreeing
        return Resolution(name, name, serving, Match.AMBIGUOUS, None, reason, candidates=hosts)


def _local(name: str, serving: str, model: str) -> Resolution:
    prefix = f"{serving}/"
    if model.casefold().startswith(prefix):
        model = model[len(prefix) :]
    model = f"{prefix}{model}"
    prices = local_prices(model, serving)
    rule = "it runs on the user's own machine"
    return Resolution(name, model, serving, Match.EXACT, prices, rule=rule)


def _resolved(name: str, hit: Hit) -> Resolution:
    provider = owner(hit.prices.provider)
    return Resolution(
        name, hit.key, provider, hit.match, hit.prices, rule=hit.rule, candidates=hit.rivals
    )
