"""The price list of the simulated provider.

It shares no code and no data with `llmcost_plugins.pricing`: it is the invoice that tests compare
our own arithmetic with.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType

from llmcost_plugins.testing.billing import TokenCounts

# A price is per million tokens and an invoice is in 1e-9 USD, so one token at 1 USD/M is 1000 nano,
# and one search at 1 USD per thousand is a million nano.
_NANO_PER_TOKEN = 1000
_NANO_PER_SEARCH = 1_000_000
_DECIMAL = re.compile(r"\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """USD per million tokens, as decimal strings such as `"0.15"`, so that no digit is lost.

    Tokens read from a cache or written to it cost as `input` by default. `web_search` is USD per
    thousand searches; with `web_search_once` an answer pays for one, however many it took. Without
    it searches cannot be billed. `tiers` has the prices of service tiers whose price differs; the
    fee for searches is the same in all. `snapshot` is the name that the model is served under; by
    default its own. Raises ValueError for a price that is not a decimal >= 0.
    """

    input: str
    cached_input: str | None = None
    cache_write_5m: str | None = None
    cache_write_1h: str | None = None
    output: str = "0"
    web_search: str | None = None
    web_search_once: bool = False
    snapshot: str | None = None
    tiers: Mapping[str, "ModelPrice"] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        optional = (self.cached_input, self.cache_write_5m, self.cache_write_1h, self.web_search)
        given: list[object] = [self.input, self.output]
        given += [price for price in optional if price is not None]
        for price in given:
            if not isinstance(price, str) or not _DECIMAL.fullmatch(price):
                msg = f"the price {price!r} is not a decimal string such as '0.15'"
                raise ValueError(msg)

    def cost_nano(self, usage: TokenCounts, tier: str | None = None) -> int:
        """Return the cost in 1e-9 USD, rounded half-even.

        A tier without prices of its own costs the standard ones. Raises ValueError for searches if
        they have no price.
        """
        price = self.tiers.get(tier or "", self)
        written = usage.written_5m + usage.written_1h
        dollars_per_million = (
            Fraction(price.input) * (usage.prompt - usage.cached - written)
            + Fraction(price.cached_input or price.input) * usage.cached
            + Fraction(price.cache_write_5m or price.input) * usage.written_5m
            + Fraction(price.cache_write_1h or price.input) * usage.written_1h
            + Fraction(price.output) * usage.completion
        )
        return round(dollars_per_million * _NANO_PER_TOKEN + self._search_fee(usage.searches))

    def _search_fee(self, searches: int) -> Fraction:
        if not searches:
            return Fraction(0)
        if self.web_search is None:
            msg = "the price list has no price for the web searches of this model; give web_search="
            raise ValueError(msg)
        billed = 1 if self.web_search_once else searches
        return Fraction(self.web_search) * billed * _NANO_PER_SEARCH


def _model(
    prices: str, *, snapshot: str | None = None, search: str | None = None, **tiers: str
) -> ModelPrice:
    """Read the prices of input, cached input and output; `tiers` has the same three for each."""
    prompt, cached, completion = prices.split()
    return ModelPrice(
        input=prompt,
        cached_input=cached,
        output=completion,
        web_search=search,
        snapshot=snapshot,
        tiers=MappingProxyType({tier: _model(theirs) for tier, theirs in tiers.items()}),
    )


def _claude(prices: str, snapshot: str | None = None) -> ModelPrice:
    """Read the prices of input, of reading the cache, of writing it 5m and 1h, and of output."""
    prompt, cached, write_5m, write_1h, completion = prices.split()
    return ModelPrice(
        input=prompt,
        cached_input=cached,
        cache_write_5m=write_5m,
        cache_write_1h=write_1h,
        output=completion,
        web_search="10",
        snapshot=snapshot,
    )


def _gemini(prices: str, **tiers: str) -> ModelPrice:
    return replace(_model(prices, search="35", **tiers), web_search_once=True)


PUBLISHED: Mapping[str, ModelPrice] = MappingProxyType(
    {
        "gpt-4o": _model(
            "2.50 1.25 10.00", snapshot="gpt-4o-2024-08-06", priority="4.25 2.125 17.00"
        ),
        "gpt-4o-mini": _model(
            "0.15 0.075 0.60", snapshot="gpt-4o-mini-2024-07-18", priority="0.25 0.125 1.00"
        ),
        "gpt-4.1": _model(
            "2.00 0.50 8.00", snapshot="gpt-4.1-2025-04-14", priority="3.50 0.875 14.00"
        ),
        "gpt-4.1-mini": _model(
            "0.40 0.10 1.60", snapshot="gpt-4.1-mini-2025-04-14", priority="0.70 0.175 2.80"
        ),
        "gpt-4.1-nano": _model(
            "0.10 0.025 0.40", snapshot="gpt-4.1-nano-2025-04-14", priority="0.20 0.05 0.80"
        ),
        "gpt-5": _model(
            "1.25 0.125 10.00",
            snapshot="gpt-5-2025-08-07",
            search="10",
            flex="0.625 0.0625 5.00",
            priority="2.50 0.25 20.00",
        ),
        "gpt-5-mini": _model(
            "0.25 0.025 2.00",
            snapshot="gpt-5-mini-2025-08-07",
            search="10",
            flex="0.125 0.0125 1.00",
            priority="0.45 0.045 3.60",
        ),
        "o4-mini": _model(
            "1.10 0.275 4.40",
            snapshot="o4-mini-2025-04-16",
            search="10",
            flex="0.55 0.138 2.20",
            priority="2.00 0.50 8.00",
        ),
        "text-embedding-3-small": ModelPrice(input="0.02"),
        "text-embedding-3-large": ModelPrice(input="0.13"),
        # A search unit is $0.002; see the dialect of Cohere's reranks.
        "rerank-v3.5": ModelPrice(input="0", output="2000"),
        "claude-opus-4-5": _claude("5 0.50 6.25 10 25", "claude-opus-4-5-20251101"),
        "claude-opus-4-8": _claude("5 0.50 6.25 10 25"),
        "claude-sonnet-4-5": _claude("3 0.30 3.75 6 15", "claude-sonnet-4-5-20250929"),
        "claude-sonnet-4-6": _claude("3 0.30 3.75 6 15"),
        "claude-haiku-4-5": _claude("1 0.10 1.25 2 5", "claude-haiku-4-5-20251001"),
        "gemini-2.5-flash": _gemini(
            "0.30 0.03 2.50", flex="0.15 0.03 1.25", priority="0.54 0.054 4.50"
        ),
        "gemini-2.5-flash-lite": _gemini(
            "0.10 0.01 0.40", flex="0.05 0.01 0.20", priority="0.18 0.018 0.72"
        ),
    }
)


class PriceList:
    """The published prices with a user's overrides; every snapshot is a model of its own."""

    def __init__(self, overrides: Mapping[str, ModelPrice] | None = None) -> None:
        self._prices: dict[str, ModelPrice] = {}
        for name, price in [*PUBLISHED.items(), *(overrides or {}).items()]:
            self._prices[name] = price
            if price.snapshot is not None:
                self._prices[price.snapshot] = price

    @property
    def models(self) -> list[str]:
        """Every name that can be requested."""
        return list(self._prices)

    def find(self, model: str) -> ModelPrice | None:
        """Return the price of a requested or a served name, None when there is none."""
        return self._prices.get(model)

    def served_name(self, model: str) -> str:
        """Return the name that answers carry when `model` is requested."""
        price = self._prices.get(model)
        return model if price is None or price.snapshot is None else price.snapshot
