"""What a usage costs. Pure, exact, one rounding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from llmcost_plugins.money import FINE_PER_USD, settle_nano
from llmcost_plugins.pricing.rates import Prices
from llmcost_plugins.usage import METERS, PROMPT_METERS, Usage

_PROMPT: Final = frozenset(PROMPT_METERS)


class Line(NamedTuple):
    """One meter's part of a cost.

    Attributes:
        meter: the meter.
        quantity: how much of it.
        rate: fine units (1e-24 USD) for one, with every multiplier.
    """

    meter: str
    quantity: int
    rate: int

    @property
    def amount(self) -> int:
        """The part in fine units (1e-24 USD), exactly."""
        return self.quantity * self.rate


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one call.

    Attributes:
        nano: the cost in nano-dollars, rounded once, half to even.
        lines: its exact parts.
        unpriced: meters that were used and have no price; their cost is missing in the sum.
    """

    nano: int
    lines: tuple[Line, ...]
    unpriced: tuple[str, ...] = ()

    @property
    def rates(self) -> dict[str, str]:
        """The unit price of each meter in USD, as exact decimal strings."""
        return {line.meter: unit_price(line.rate) for line in self.lines}


def cost_of(usage: Usage, prices: Prices, at: datetime | None = None) -> Cost:
    """Multiply a usage with the prices of its model.

    Args:
        usage: what was used.
        prices: the prices of the model.
        at: when the call was made; without it, off-peak prices and earlier prices of the user's own
            file do not apply.
    """
    prices = prices.at(at)
    table = prices.table(usage.prompt_tokens, usage.service_tier, usage.region, at)
    lines = []
    missing: tuple[str, ...] = ()
    for meter in METERS:
        count = getattr(usage, meter)
        if count:
            try:
                lines.append(Line(meter, count, table[meter]))
            except KeyError:
                missing += (meter,)
    if usage.other:
        missing += _add_other(lines, usage.other, prices, table)
    if lines and ("request", 0, "") in prices.rates and "request" not in usage.other:
        lines.append(Line("request", 1, table["request"]))
    total = 0
    for line in lines:
        total += line.quantity * line.rate
    return Cost(settle_nano(total), tuple(lines), missing)


Pricer = Callable[[Mapping[str, int], datetime], int | None]
"""Returns the cost in nano-dollars of counts in the common meters at an instant; `None` where a
meter has no price."""


def pricer(prices: Prices) -> Pricer:
    """Return what says of counts in `METERS`, without tier and region, what `cost_of` says.

    For going through many calls: it takes a fraction of the time, and gives no lines.
    """
    fee = ("request", 0, "") in prices.rates

    def nano(counts: Mapping[str, int], at: datetime) -> int | None:
        held = prices.at(at)
        prompt = sum(count for meter, count in counts.items() if meter in _PROMPT)
        return _total(counts, held.table(prompt, at=at), fee=("request", 0, "") in held.rates)

    if prices.thresholds or prices.bands or prices.off_peak or prices.earlier:
        return nano
    table = prices.table(0)
    return lambda counts, _: _total(counts, table, fee=fee)


def _total(counts: Mapping[str, int], table: Mapping[str, int], *, fee: bool) -> int | None:
    total = 0
    try:
        for meter, count in counts.items():
            if count:
                total += count * table[meter]
        # Where nothing has a price that was used, no request is billed either.
        if fee and any(counts.values()):
            total += table["request"]
    except KeyError:
        return None
    return settle_nano(total)


def _add_other(
    lines: list[Line], other: Mapping[str, int], prices: Prices, table: Mapping[str, int]
) -> tuple[str, ...]:
    """Add the rarer meters; return those without a price."""
    missing = []
    for meter, used in other.items():
        if not used:
            continue
        count = min(used, 1) if meter in prices.once else used
        try:
            lines.append(Line(meter, count, table[meter]))
        except KeyError:
            missing.append(meter)
    return tuple(missing)


def recomputed_nano(counts: Mapping[str, int], rates: Mapping[str, str]) -> int:
    """Return the cost in nano-dollars of stored counts at stored unit prices, see `Cost.rates`."""
    fine = sum(counts.get(meter, 0) * parse_unit_price(rate) for meter, rate in rates.items())
    return settle_nano(fine)


@lru_cache(maxsize=4096)
def unit_price(rate: int) -> str:
    """Write fine units (1e-24 USD) as an exact decimal string in USD, e.g. ``0.0000025``."""
    whole, fraction = divmod(rate, FINE_PER_USD)
    return f"{whole}.{fraction:024d}".rstrip("0").rstrip(".")


@lru_cache(maxsize=4096)
def parse_unit_price(text: str) -> int:
    """Read what `unit_price` has written."""
    whole, _, fraction = text.partition(".")
    return int(whole) * FINE_PER_USD + int(fraction.ljust(24, "0") or 0)
