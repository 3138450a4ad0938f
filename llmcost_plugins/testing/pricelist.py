"""The price list of the simulated provider.

It shares no code and no data with `llmcost_plugins.pricing`: it is the invoice that tests compare
our own arithmetic with.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

# A price is per million tokens and an invoice is in 1e-9 USD, so one token at 1 USD/M is 1000 nano.
_NANO_PER_TOKEN = 1000
_DECIMAL = re.compile(r"\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """USD per million tokens, as decimal strings such as `"0.15"`, so that no digit is lost.

    `cached_input` defaults to the price of `input`. `snapshot` is the name that the model is served
    under; by default its own. Raises ValueError for a price that is not a decimal >= 0.
    """

    input: str
    cached_input: str | None = None
    output: str = "0"
    snapshot: str | None = None

    def __post_init__(self) -> None:
        cached_input = "0" if self.cached_input is None else self.cached_input
        given: tuple[object, ...] = (self.input, cached_input, self.output)
        for price in given:
            if not isinstance(price, str) or not _DECIMAL.fullmatch(price):
                msg = f"the price {price!r} is not a decimal string such as '0.15'"
                raise ValueError(msg)

    def cost_nano(self, *, prompt: int, cached: int, completion: int) -> int:
        """Return the cost in 1e-9 USD, rounded half-even; `prompt` includes the `cached` tokens."""
        cached_input = self.input if self.cached_input is None else self.cached_input
        dollars_per_million = (
            Fraction(self.input) * (prompt - cached)
            + Fraction(cached_input) * cached
            + Fraction(self.output) * completion
        )
        return round(dollars_per_million * _NANO_PER_TOKEN)


def _chat(prompt: str, cached: str, completion: str, snapshot: str) -> ModelPrice:
    return ModelPrice(input=prompt, cached_input=cached, output=completion, snapshot=snapshot)


PUBLISHED: Mapping[str, ModelPrice] = MappingProxyType(
    {
        "gpt-4o": _chat("2.50", "1.25", "10.00", "gpt-4o-2024-08-06"),
        "gpt-4o-mini": _chat("0.15", "0.075", "0.60", "gpt-4o-mini-2024-07-18"),
        "gpt-4.1": _chat("2.00", "0.50", "8.00", "gpt-4.1-2025-04-14"),
        "gpt-4.1-mini": _chat("0.40", "0.10", "1.60", "gpt-4.1-mini-2025-04-14"),
        "gpt-4.1-nano": _chat("0.10", "0.025", "0.40", "gpt-4.1-nano-2025-04-14"),
        "gpt-5": _chat("1.25", "0.125", "10.00", "gpt-5-2025-08-07"),
        "gpt-5-mini": _chat("0.25", "0.025", "2.00", "gpt-5-mini-2025-08-07"),
        "o4-mini": _chat("1.10", "0.275", "4.40", "o4-mini-2025-04-16"),
        "text-embedding-3-small": ModelPrice(input="0.02"),
        "text-embedding-3-large": ModelPrice(input="0.13"),
        # A search unit is $0.002; see the dialect of Cohere's reranks.
        "rerank-v3.5": ModelPrice(input="0", output="2000"),
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
