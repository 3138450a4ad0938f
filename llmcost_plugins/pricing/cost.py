"""What a usage costs. Pure, exact, one rounding."""

from dataclasses import dataclass
from typing import Final

from llmcost_plugins.money import settle_nano
from llmcost_plugins.pricing.rates import TIERS, Prices
from llmcost_plugins.usage import METERS, PROMPT_METERS, Usage

_SAME_TIER: Final = {"fast": "priority"}


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one call.

    Attributes:
        nano: the cost in nano-dollars, rounded once, half to even.
        by_meter: the exact parts in fine units (1e-24 USD), for the meters that were used.
    """

    nano: int
    by_meter: dict[str, int]


def price_tier(service_tier: str | None) -> str:
    """Return the tier whose prices hold for *service_tier* as a provider reports it."""
    tier = _SAME_TIER.get(service_tier or "", service_tier or "")
    return tier if tier in TIERS else ""


def cost_of(usage: Usage, prices: Prices) -> Cost:
    """Multiply a usage with the prices of its model."""
    prompt = sum(getattr(usage, meter) for meter in PROMPT_METERS)
    tier = price_tier(usage.service_tier)
    parts = {
        meter: count * prices.rate(meter, prompt, tier)
        for meter in METERS
        if (count := getattr(usage, meter))
    }
    return Cost(settle_nano(sum(parts.values())), parts)
