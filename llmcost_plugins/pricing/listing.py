"""The prices of a model as a list: one line for each unit price, with when it holds."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from llmcost_plugins.pricing.cost import unit_price
from llmcost_plugins.pricing.rates import ANYWHERE_ELSE, FAST, OffPeak, OffPeakRule, Prices
from llmcost_plugins.usage import CACHE_METERS, METERS, PROMPT_METERS, UNITS

_MILLION: Final = 10**6
_ORDER: Final = {meter: place for place, meter in enumerate((*METERS, *UNITS))}
_BASE: Final = re.compile("|".join(sorted(UNITS, key=len, reverse=True)))
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Unit(NamedTuple):
    """What a price is for.

    Attributes:
        name: one of it, e.g. ``token``.
        worth: how many of the meter make one: a second is 1000 of a meter in milliseconds.
        shown: how many of it people compare prices of.
    """

    name: str
    worth: int = 1
    shown: int = 1


_TOKEN: Final = Unit("token", shown=_MILLION)
_SECOND: Final = Unit("second", worth=1000)
_UNITS: Final = {
    "request": Unit("request"),
    "web_search": Unit("search"),
    "maps_search": Unit("search"),
    "query": Unit("query"),
    "citation": _TOKEN,
    "images_in": Unit("image"),
    "images_out": Unit("image"),
    "pixels_in": Unit("pixel", shown=_MILLION),
    "pixels_out": Unit("pixel", shown=_MILLION),
    "characters_in": Unit("character", shown=_MILLION),
    "characters_out": Unit("character", shown=_MILLION),
    "ms_in": _SECOND,
    "ms_out": _SECOND,
    "audio_ms_in": _SECOND,
    "video_ms_in": _SECOND,
    "video_ms_out": _SECOND,
    "messages_in": Unit("message"),
    "pages": Unit("page"),
    "annotated_pages": Unit("page"),
    "credits": Unit("credit"),
    "code_sessions": Unit("session"),
}


class UnitPrice(NamedTuple):
    """The price of one meter in one case.

    Attributes:
        meter: see `llmcost_plugins.usage`.
        tier: the service tier; empty: the standard one.
        above: it holds for prompts of more tokens than these.
        upto: it holds for prompts of at most so many tokens; `None`: of any length, or up to the
            next line of the same meter and tier.
        off_peak: whether it holds in the cheaper hours only.
        rate: fine units (1e-24 USD) for one of the meter.
    """

    meter: str
    tier: str
    above: int
    upto: int | None
    off_peak: bool
    rate: int

    @property
    def usd(self) -> str:
        """The price of one unit in USD, as an exact decimal string."""
        return unit_price(self.rate * unit_of(self.meter).worth)

    @property
    def when(self) -> str:
        """When it holds, for people; empty: always."""
        parts = ["batch" if self.tier == "batches" else self.tier]
        if self.above:
            parts.append(f"prompt > {self.above:,}")
        elif self.upto is not None:
            parts.append(f"prompt <= {self.upto:,}")
        if self.off_peak:
            parts.append("off-peak")
        return ", ".join(part for part in parts if part)


def unit_of(meter: str) -> Unit:
    """Return what a price of *meter* is for."""
    if meter in METERS or CACHE_METERS.fullmatch(meter):
        return _TOKEN
    base = _BASE.match(meter)
    return _UNITS[base[0]] if base else Unit(meter)


def unit_prices(prices: Prices) -> list[UnitPrice]:
    """Return every price of a model: the usual ones first, then by tier and prompt length."""
    return sorted(_all(prices), key=_place)


def _all(prices: Prices) -> Iterator[UnitPrice]:
    banded = {meter for band in prices.bands for meter in band.rates}
    for (meter, threshold, tier), rate in prices.rates.items():
        if meter not in banded:
            yield UnitPrice(meter, tier, threshold, None, False, rate)
    above = 0
    for band in prices.bands:
        for meter, rate in band.rates.items():
            yield UnitPrice(meter, "", above, band.upto, False, rate)
        above = band.upto
    if prices.off_peak:
        for meter, rate in prices.off_peak.rates.items():
            yield UnitPrice(meter, "", 0, None, True, rate)


def _place(line: UnitPrice) -> tuple[bool, str, int, int, str]:
    family = _family(line.meter)
    return line.off_peak, line.tier, line.above, family, line.meter


def _family(meter: str) -> int:
    """Return the place of a meter: with a size or a lifetime, it stands after the one without."""
    if meter in _ORDER:
        return _ORDER[meter]
    if CACHE_METERS.fullmatch(meter):
        return _ORDER[PROMPT_METERS[3]]
    base = _BASE.match(meter)
    return _ORDER[base[0]] if base else len(_ORDER)


def multipliers(prices: Prices) -> dict[str, str]:
    """Return what all prices are multiplied with, by region or mode, as decimal strings."""
    return {
        place: format((Decimal(over) / Decimal(under)).normalize(), "f")
        for place, (over, under) in prices.uplifts.items()
    }


def multiplier_place(place: str) -> str:
    """Say for people when a multiplier holds."""
    named = {FAST: "fast mode", ANYWHERE_ELSE: "every region but global", "fedramp": "FedRAMP"}
    return named.get(place, f"region {place}")


def hours(off_peak: OffPeak) -> list[str]:
    """Write the cheaper hours for people."""
    return [_rule(rule) for rule in off_peak.rules]


def _rule(rule: OffPeakRule) -> str:
    spans = ", ".join(
        "all day" if start == end else f"{start:%H:%M}-{end:%H:%M}" for start, end in rule.hours
    )
    days = sorted(rule.weekdays)
    if not days:
        return f"{spans} UTC"
    named = ", ".join(_DAYS[day - 1] for day in days)
    if days == list(range(days[0], days[-1] + 1)) and len(days) > 1:
        named = f"{_DAYS[days[0] - 1]}-{_DAYS[days[-1] - 1]}"
    zone = "" if str(rule.zone) == "UTC" else f" in {rule.zone}"
    return f"{spans} UTC, {named}{zone}"
