"""Where a name may be found in the price map, and whether what is found there is one price."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from llmcost_plugins.pricing.entries import LOCAL_PROVIDERS
from llmcost_plugins.pricing.index import MOST_NAMES, KeyIndex
from llmcost_plugins.pricing.providers import (
    PUBLISHERS,
    is_provider,
    maker_of,
    provider_of,
    siblings_of,
)
from llmcost_plugins.pricing.rates import Prices
from llmcost_plugins.pricing.resolution import Match
from llmcost_plugins.pricing.spellings import Spelling, spellings

_DEARNESS: Final = ("output", "input", "cache_read")


class Candidate(NamedTuple):
    """Keys that a name may mean.

    Attributes:
        keys: several count only if all of them ask the same.
        match: how the name matches them.
        rule: what led to them, in words.
        dearest: if they do not ask the same, the dearest counts.
    """

    keys: tuple[str, ...]
    match: Match
    rule: str
    dearest: bool = False


class Hit(NamedTuple):
    """The key that a name means, with its prices.

    Attributes:
        key: the canonical key.
        prices: its prices.
        match: how the name matches it.
        rule: what led to it, in words.
        rivals: other keys that the same rule led to, at most five.
    """

    key: str
    prices: Prices
    match: Match
    rule: str
    rivals: tuple[str, ...] = ()


@dataclass(slots=True)
class Notes:
    """What a search sees on its way.

    Attributes:
        reason: why the entry of the very name has no price, if there is such an entry.
        disagreeing: hosts of the model that ask different prices, at most five.
        elsewhere: the search is about hosts that were not asked.
    """

    reason: str = ""
    disagreeing: tuple[str, ...] = ()
    elsewhere: bool = False


class PriceSearch:
    """Looks for names in a price map, in one fixed order."""

    def __init__(self, index: KeyIndex) -> None:
        self._index = index

    def as_it_stands(self, name: str, asked: str | None) -> Iterator[Candidate]:
        """Yield the key that the name is, if the provider that is asked serves it."""
        key = self._index.find(name)
        if key and (asked is None or self._index.provider(key) == asked):
            yield Candidate((key,), Match.EXACT, "the key itself")

    def at(self, name: str, provider: str, region: str = "") -> Iterator[Candidate]:
        """Yield what the name may mean at one provider, the surest first."""
        if region:
            for key in self._index.at(f"{region}/{name}", provider):
                yield Candidate((key,), Match.EXACT, "the model in its region")
        for group in _by_certainty(spellings(name, provider)):
            for spelling in group:
                for label in siblings_of(provider):
                    also = "" if label == provider else f"on the list of {label}"
                    for key in self._index.at(spelling.name, label):
                        yield _candidate((key,), spelling, also)
            for spelling in group:
                yield self._snapshots(spelling, provider)
                yield self._of_that_name(spelling, provider)
        yield from self._dearest_snapshots(name, provider)

    def anywhere(self, name: str) -> Iterator[Candidate]:
        """Yield what the name may mean where nothing says who serves it: mostly its maker's."""
        yield from self._before_colon(name)
        for group in _by_certainty(spellings(name, None)):
            for spelling in group:
                yield from self._sold(spelling)
            for spelling in group:
                if maker := maker_of(spelling.name):
                    yield self._snapshots(spelling, maker)
        if maker := maker_of(name):
            yield from self._dearest_snapshots(name, maker)

    def everywhere(self, name: str, notes: Notes) -> Hit | None:
        """Return the price of all hosts of the model, if it is one; else note that it is not."""
        for spelling in spellings(name, None):
            keys = tuple(filter(self._index.is_charged, self._hosts(spelling)))
            if keys:
                every = _candidate(keys, spelling, "every host asks the same")
                rule = "every host that still has it asks the same"
                current = Candidate(self._current(keys), Match.STRIPPED, rule)
                hit = self.first((every, current), notes)
                if hit is None:
                    notes.disagreeing = tuple(sorted(current.keys)[:MOST_NAMES])
                return hit
        return None

    def first(self, candidates: Iterable[Candidate], notes: Notes) -> Hit | None:
        """Return the first candidate that has a price."""
        return next(filter(None, (self._agreed(one, notes) for one in candidates)), None)

    def split(self, name: str) -> tuple[str | None, str]:
        """Take the provider off a name that begins with one."""
        prefix, slash, rest = name.partition("/")
        word = prefix.casefold()
        is_host = word in self._index.providers or (is_provider(word) and word not in PUBLISHERS)
        if slash and is_host:
            return provider_of(word), rest
        head, colon, rest = name.partition(":")
        if colon and not slash and provider_of(head) in LOCAL_PROVIDERS:
            return provider_of(head), rest
        return None, name

    def _before_colon(self, name: str) -> Iterator[Candidate]:
        """Read ``provider:model``, as LangChain's init_chat_model takes it."""
        head, _, rest = name.partition(":")
        provider = provider_of(head) if rest and is_provider(head) else None
        for candidate in self.at(rest, provider) if provider else ():
            same = candidate.match is Match.EXACT
            yield candidate._replace(match=Match.ALIAS if same else candidate.match)

    def _sold(self, spelling: Spelling) -> Iterator[Candidate]:
        if key := self._index.find(spelling.name):
            yield _candidate((key,), spelling)
        if maker := maker_of(spelling.name):
            for key in self._index.at(spelling.name, maker):
                yield _candidate((key,), spelling, "the maker's list price")

    def _snapshots(self, spelling: Spelling, provider: str) -> Candidate:
        keys = self._index.snapshots(spelling.name, provider)
        return _candidate(keys, spelling, "all its snapshots cost the same")

    def _dearest_snapshots(self, name: str, provider: str) -> Iterator[Candidate]:
        for spelling in _by_certainty(spellings(name, provider))[0]:
            keys = self._current(self._index.snapshots(spelling.name, provider))
            rule = _candidate(keys, spelling, "the dearest of its snapshots").rule
            yield Candidate(keys, Match.STRIPPED, rule, dearest=True)

    def _of_that_name(self, spelling: Spelling, provider: str) -> Candidate:
        keys = (key for key in self._hosts(spelling) if self._index.provider(key) == provider)
        return _candidate(tuple(keys), spelling, "the provider's model of that name")

    def _hosts(self, spelling: Spelling) -> tuple[str, ...]:
        return () if "/" in spelling.name else self._index.hosts(spelling.name)

    def _current(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """Leave out what newer maps no longer have, unless that is all."""
        return tuple(key for key in keys if not self._index.is_retired(key)) or keys

    def _agreed(self, candidate: Candidate, notes: Notes) -> Hit | None:
        """Return the newest of the keys, if all of those that have a price have the same."""
        found = self._priced(candidate, notes)
        if not found:
            return None
        same = _all_same(found.values())
        if not (same or candidate.dearest):
            return None
        chosen = max(found) if same else max(found, key=lambda key: _dearness(found[key]))
        match, rule = candidate.match, candidate.rule
        if self._index.is_alias(chosen):
            match = Match.ALIAS if match is Match.EXACT else match
            rule = f"{rule}, the map's alias for it"
        if notes.reason and match.is_certain:
            match, rule = Match.STRIPPED, f"{rule}, as the name itself has no price"
        rivals = tuple(sorted(found.keys() - {chosen})[:MOST_NAMES])
        return Hit(self._index.target(chosen), found[chosen], match, rule, rivals)

    def _priced(self, candidate: Candidate, notes: Notes) -> dict[str, Prices]:
        """Return the keys that have a price; note why the key that the name is has none."""
        # What is free in one place, on the user's machine or at all, need not be so in another.
        is_guess = notes.elsewhere or not candidate.match.is_certain
        found = {
            key: prices
            for key in candidate.keys
            if isinstance(prices := self._index.prices(key), Prices)
            and (self._index.is_charged(key) or not is_guess)
        }
        if not (found or is_guess or notes.reason) and len(candidate.keys) == 1:
            notes.reason = self._index.why_not(candidate.keys[0])
        return found


def _candidate(keys: tuple[str, ...], spelling: Spelling, also: str = "") -> Candidate:
    rule = ", ".join(filter(None, (spelling.rule, also)))
    same = Match.ALIAS if rule else Match.EXACT
    match = Match.STRIPPED if spelling.losses else same
    return Candidate(keys, match, rule or "the provider and the name")


def _by_certainty(every: list[Spelling]) -> tuple[list[Spelling], list[Spelling]]:
    """Part the spellings of the same model from those that may be of another price."""
    same = [spelling for spelling in every if not spelling.losses]
    return same, every[len(same) :]


def _all_same(every: Iterable[Prices]) -> bool:
    """Tell whether the prices agree in all that a call in the standard tier costs."""
    standard = [_standard(prices) for prices in every]
    return all(other == standard[0] for other in standard)


def _standard(prices: Prices) -> tuple[Any, ...]:
    rates = {key: rate for key, rate in prices.rates.items() if rate and not key[2]}
    return rates, prices.bands, prices.off_peak, prices.uplifts, prices.earlier


def _dearness(prices: Prices) -> tuple[int, ...]:
    return tuple(prices.rates.get((meter, 0, ""), 0) for meter in _DEARNESS)
