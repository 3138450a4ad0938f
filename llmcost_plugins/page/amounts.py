"""Amounts on a page: what is read, and exactly what is meant."""

from dataclasses import dataclass
from decimal import Decimal

from llmcost_plugins.money import round_to_nano, usd_string, usd_to_nano
from llmcost_plugins.page.markup import Markup, tag
from llmcost_plugins.page.scales import tick_text
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.wording import money_text


@dataclass(frozen=True, slots=True)
class Amounts:
    """Says amounts in a currency, or in USD.

    Attributes:
        currency: the currency and its rate; `None` for USD.
    """

    currency: Currency | None

    def text(self, usd: Decimal) -> str:
        """Return an amount as people read it."""
        return money_text(usd, self.currency)

    def markup(self, usd: Decimal | None) -> Markup:
        """Return the same with the exact amount in USD, which programs and the curious find."""
        if usd is None:
            return Markup("-")
        exact = usd_string(usd_to_nano(usd))
        return tag("data", self.text(usd), value=exact, title=f"{exact} USD")

    def size(self, usd: Decimal) -> int:
        """Return how much to draw for an amount: nano-units of the currency."""
        return usd_to_nano(usd) if self.currency is None else round_to_nano(self.currency.of(usd))

    def tick(self, size: int, step: int) -> str:
        """Return the name of a line of a chart."""
        return tick_text(size, step, "" if self.currency else "$")
