"""The prices of one model, and the table of them that holds for one call."""

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, tzinfo
from typing import Final, NamedTuple

RateKey = tuple[str, int, str]
"""Meter, threshold in prompt tokens (0: from the first on), service tier ("": standard)."""

Ratio = tuple[int, int]
"""A multiplier as numerator and denominator: 1.1 is (11, 10)."""

BATCHES: Final = "batches"
"""The tier of batch jobs, as the price map calls it; half the price where it states none."""
FAST: Final = "fast"
"""Anthropic's fast mode: a multiplier where the model has one; elsewhere it means priority."""
ANYWHERE_ELSE: Final = "*"
"""The region of `Prices.uplifts` that stands for every one but the global endpoint."""
_GLOBAL: Final = frozenset({"", "global", "not_available"})

_PART_OF: Final = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "audio_in": "input",
    "image_in": "input",
    "video_in": "input",
    "reasoning": "output",
    "audio_out": "output",
    "image_out": "output",
    "video_out": "output",
}
_LONGER_WRITE: Final = re.compile(r"cache_write_\d+[hd]")
_SIZED: Final = re.compile(r"(?P<unit>[a-z_]+)_(?:\d[0-9a-z.]*|low|medium|high)")
_FEES: Final = ("request", "web_search", "maps_search", "query", "citation", "code_sessions")
_BANDED: Final = frozenset(
    {"input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning"}
)


def part_of(meter: str) -> str | None:
    """Return the meter whose price holds for *meter* where it has none of its own.

    A cached token costs at most what an uncached one does, an audio token of the answer what one of
    text does, a longer cache write what a shorter one does; LiteLLM's calculator says the same.
    """
    whole = _PART_OF.get(meter)
    if whole is not None:
        return whole
    if meter.startswith("cache_read_"):
        return "cache_read"
    if meter.startswith("cache_write_"):
        return "cache_write_1h" if _LONGER_WRITE.fullmatch(meter) else "cache_write_5m"
    sized = _SIZED.fullmatch(meter)
    return sized["unit"] if sized else None


class Band(NamedTuple):
    """The prices of one range of prompt lengths, all or nothing (``tiered_pricing``).

    Attributes:
        upto: the longest prompt of the band, in tokens.
        rates: fine units (1e-24 USD) per token by meter.
    """

    upto: int
    rates: Mapping[str, int]


class OffPeakRule(NamedTuple):
    """Hours of the day in UTC, on some days of the week, at which the off-peak prices hold.

    Attributes:
        hours: pairs of start (inclusive) and end (exclusive); an end before the start is the
            next day's, an equal one means the whole day.
        weekdays: 1 is Monday; all days when empty.
        zone: whose calendar says which day it is.
    """

    hours: tuple[tuple[time, time], ...]
    weekdays: frozenset[int]
    zone: tzinfo = UTC

    def holds(self, at: datetime) -> bool:
        """Tell whether the instant is off-peak by this rule."""
        if self.weekdays and at.astimezone(self.zone).isoweekday() not in self.weekdays:
            return False
        now = at.astimezone(UTC).time()
        return any(
            start <= now < end if start < end else now >= start or now < end
            for start, end in self.hours
        )


class OffPeak(NamedTuple):
    """Cheaper prices for some hours.

    Attributes:
        rates: fine units (1e-24 USD) per token by meter; they replace the others.
        rules: when they hold.
    """

    rates: Mapping[str, int]
    rules: tuple[OffPeakRule, ...]

    def holds(self, at: datetime) -> bool:
        """Tell whether the instant is off-peak."""
        return any(rule.holds(at) for rule in self.rules)


class _Case(NamedTuple):
    """What a call is priced by: all that chooses between prices."""

    step: int
    tier: str
    factor: Ratio
    off_peak: bool


class RateTable(dict[str, int]):
    """Fine units (1e-24 USD) per unit by meter, for calls of one kind; filled as it is asked.

    Asking for a meter that has no price raises `KeyError`.
    """

    def __init__(self, prices: "Prices", case: _Case, prompt_tokens: int) -> None:
        super().__init__()
        self._prices, self._case, self._prompt = prices, case, prompt_tokens

    def get_or_zero(self, meter: str) -> int:
        """Return the price of a meter; 0 where it has none."""
        try:
            return self[meter]
        except KeyError:
            return 0

    def __missing__(self, meter: str) -> int:
        rate = self._prices.find_rate(meter, self._prompt, self._case)
        if rate is None:
            raise KeyError(meter)
        self[meter] = rate
        return rate


@dataclass(frozen=True, slots=True)
class Prices:
    """The unit prices of one model.

    Attributes:
        model: the catalog's canonical key.
        provider: LiteLLM's name of the provider, e.g. ``openai``; one name for all its interfaces.
        rates: price in fine units (1e-24 USD) per unit, by meter, threshold and tier.
        thresholds: prompt lengths from which other prices hold, ascending.
        max_input_tokens: the longest prompt the model takes, where known.
        max_output_tokens: the longest answer it gives, where known.
        reasons: whether answers may have hidden reasoning tokens.
        bands: prices by prompt length that replace those of `rates`, ascending.
        off_peak: cheaper hours, if there are any.
        uplifts: multipliers by region, or of `FAST` mode.
        once: fees that are due once a call, however often the thing was used.
        retired: the last litellm release that had the model, when newer ones do not.
        by_user: whether the user's own file states them.
        remarks: what looks odd about the prices, for people.
        earlier: the prices before an override of the user's began to hold, newest first, each with
            the instant at which it was replaced.
    """

    model: str
    provider: str
    rates: Mapping[RateKey, int]
    thresholds: tuple[int, ...]
    max_input_tokens: int | None
    max_output_tokens: int | None
    reasons: bool = False
    bands: tuple[Band, ...] = ()
    off_peak: OffPeak | None = None
    uplifts: Mapping[str, Ratio] = field(default_factory=dict)
    once: frozenset[str] = frozenset()
    retired: str = ""
    by_user: bool = False
    remarks: tuple[str, ...] = ()
    earlier: tuple[tuple[datetime, "Prices"], ...] = ()
    tiers: frozenset[str] = field(default=frozenset(), init=False, compare=False)
    """The service tiers with prices of their own."""
    most: dict[Hashable, tuple[int, int, int]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """What `estimate` has worked out for calls of a kind."""
    _tables: dict[_Case, RateTable] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "tiers", frozenset(key[2] for key in self.rates) - {""})

    def at(self, instant: datetime | None) -> "Prices":
        """Return the prices that held then; these, when no instant is given."""
        held = self
        if instant is not None:
            for until, prices in self.earlier:
                if instant >= until:
                    break
                held = prices
        return held

    def table(
        self,
        prompt_tokens: int,
        service_tier: str | None = None,
        region: str | None = None,
        at: datetime | None = None,
    ) -> RateTable:
        """Return the prices for a call with so many prompt tokens, cached ones included.

        Args:
            prompt_tokens: decide about long-context prices, all or nothing.
            service_tier: as the provider reports it; one without prices of its own is standard.
            region: see `Usage.region`.
            at: when the call was made, for off-peak prices; without it they do not hold.
        """
        case = _Case(
            self.step(prompt_tokens),
            self.tier(service_tier),
            self._factor(service_tier, region),
            self.off_peak is not None and at is not None and self.off_peak.holds(at),
        )
        found = self._tables.get(case)
        if found is None:
            found = self._tables[case] = RateTable(self, case, prompt_tokens)
        return found

    def rate(self, meter: str, prompt_tokens: int, tier: str) -> int:
        """Return the standard price of one unit of *meter*; 0 where it has none."""
        return self.table(prompt_tokens, tier or None).get_or_zero(meter)

    def tier(self, service_tier: str | None) -> str:
        """Return the tier whose prices hold for *service_tier* as a provider reports it."""
        if not service_tier:
            return ""
        if service_tier == "batch":
            return BATCHES
        if service_tier == FAST:
            return "" if FAST in self.uplifts else self.tier("priority")
        return service_tier if service_tier in self.tiers else ""

    def lengths(self, prompt_tokens: int) -> Iterator[int]:
        """Yield one prompt length of each range of prices up to *prompt_tokens*."""
        yield min(prompt_tokens, 1)
        for start in (*self.thresholds, *(band.upto for band in self.bands)):
            if start < prompt_tokens:
                yield start + 1

    def step(self, prompt_tokens: int) -> int:
        """Return a number for the range of prices that a prompt of this length is in."""
        step = sum(prompt_tokens > threshold for threshold in self.thresholds)
        if self.bands:
            step += 1000 * sum(prompt_tokens > band.upto for band in self.bands)
        return step

    def _factor(self, service_tier: str | None, region: str | None) -> Ratio:
        if not self.uplifts:
            return (1, 1)
        over, under = self.uplifts.get(FAST, (1, 1)) if service_tier == FAST else (1, 1)
        place = (region or "").lower()
        if place not in _GLOBAL:
            more = self.uplifts.get(place) or self.uplifts.get(ANYWHERE_ELSE) or (1, 1)
            over, under = over * more[0], under * more[1]
        return over, under

    def find_rate(self, meter: str, prompt: int, case: _Case) -> int | None:
        """Resolve one price, multipliers included; `None` when there is none."""
        if case.tier == BATCHES:
            rate = self._batch_rate(meter, prompt, case)
        else:
            rate = self._standard_rate(meter, prompt, case)
        if rate is None or case.factor == (1, 1) or meter.startswith(_FEES):
            return rate
        return rate * case.factor[0] // case.factor[1]

    def _standard_rate(self, meter: str, prompt: int, case: _Case) -> int | None:
        own = self._own_rate(meter, prompt, case)
        if own is not None:
            return own
        whole = part_of(meter)
        return None if whole is None else self._standard_rate(whole, prompt, case)

    def _own_rate(self, meter: str, prompt: int, case: _Case) -> int | None:
        if case.off_peak and self.off_peak and meter in self.off_peak.rates:
            return self.off_peak.rates[meter]
        if self.bands and meter in _BANDED:
            found = self._band(prompt).get(meter)
            if found is not None or meter != "output":
                return found
        if meter == "reasoning" and case.tier and self._prices_only_output(case.tier):
            return None  # a tier that prices output prices reasoning with it
        return self._stepped(meter, prompt, case.tier)

    def _prices_only_output(self, tier: str) -> bool:
        return ("output", 0, tier) in self.rates and ("reasoning", 0, tier) not in self.rates

    def _batch_rate(self, meter: str, prompt: int, case: _Case) -> int | None:
        standard = self._standard_rate(meter, prompt, case._replace(tier=""))
        part: str | None = meter
        while part is not None:
            stated = self._stepped(part, prompt, BATCHES, strictly=True)
            if stated is not None:
                # A batch price of the whole holds for its parts, whose discount ends with it; only
                # a cached token stays as cheap as it was, and is never dearer than another one.
                if part != meter and meter.startswith("cache_read") and standard is not None:
                    return min(stated, standard)
                return stated
            part = part_of(part)
        return standard if standard is None or meter.startswith(_FEES) else standard // 2

    def _stepped(self, meter: str, prompt: int, tier: str, *, strictly: bool = False) -> int | None:
        """Return the price of the highest threshold that the prompt is beyond."""
        found = self._at(meter, 0, tier, strictly=strictly)
        for threshold in self.thresholds:
            if prompt > threshold:
                beyond = self._at(meter, threshold, tier, strictly=strictly)
                found = found if beyond is None else beyond
        return found

    def _at(self, meter: str, threshold: int, tier: str, *, strictly: bool) -> int | None:
        rate = self.rates.get((meter, threshold, tier)) if tier else None
        if rate is not None or strictly:
            return rate
        return self.rates.get((meter, threshold, ""))

    def _band(self, prompt: int) -> Mapping[str, int]:
        return next((b.rates for b in self.bands if prompt <= b.upto), self.bands[-1].rates)
