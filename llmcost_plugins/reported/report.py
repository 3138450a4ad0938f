"""`Report`: one report of usage while it is read."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final, NamedTuple

from llmcost_plugins.reported.fields import (
    NOTHING,
    Fields,
    fields_of,
    is_said,
    read_count,
    shown,
    word,
)
from llmcost_plugins.reported.stated import read_cost
from llmcost_plugins.usage import LARGEST_COUNT, METERS, Trust, Usage

MEDIA: Final = ("audio", "image", "video")
"""What tokens can stand for besides text."""
STANDARD: Final = frozenset({"", "default", "standard", "auto", "on_demand", "unspecified"})
"""What providers call the tier that costs the standard price."""

_MOST_NOTES: Final = 8
_COMMON: Final = frozenset(METERS)
_LIFETIMES: Final = ("5m", "30m", "1h", "12h")


class Source(NamedTuple):
    """Where a report stands.

    Attributes:
        usage: the report.
        whole: the answer that it is about; the report itself where no more is known.
        provider: whose it is, in lower case; empty if not known.
    """

    usage: Fields
    whole: Fields
    provider: str


class Report:
    """What is found in a report: counts by meter, facts, and what is odd. Nothing here raises.

    Attributes:
        counts: tokens by common meter, without the text of prompt and answer.
        other: counts by rarer meter, see `Usage.other`.
        service_tier: see `Usage`.
        region: see `Usage`.
        cost: see `Usage.stated_cost`.
    """

    __slots__ = ("_contradicts", "_notes", "cost", "counts", "other", "region", "service_tier")

    def __init__(self, source: Source) -> None:
        self.counts: dict[str, int] = {}
        self.other: dict[str, int] = {}
        self.region: str | None = None
        self._notes: list[str] = []
        self._contradicts = False
        self.service_tier = _tier(source.usage, source.whole)
        self.cost: Decimal | None = read_cost(source.usage, source.whole, self._notes)

    def count(self, part: Fields, *names: str) -> int:
        """Return the largest count that stands under one of the names; 0 without any."""
        most = 0
        for name in names:
            value = part.get(name)
            if type(value) is int and 0 <= value <= LARGEST_COUNT:
                if value > most:  # noqa: PLR1730 - a call of max costs as much as all the rest
                    most = value
            elif value is not None and is_said(value):
                found, as_said = read_count(value)
                if not as_said:
                    self.contradict(f"{name} was reported as {shown(value)}")
                most = max(most, found)
        return most

    def add(self, meter: str, count: int) -> None:
        """Add to a meter, a common or a rarer one."""
        if count:
            into = self.counts if meter in _COMMON else self.other
            into[meter] = into.get(meter, 0) + count

    def add_all(self, counts: Mapping[str, int]) -> None:
        """Add to several meters."""
        for meter, count in counts.items():
            self.add(meter, count)

    def add_cache_writes(self, total: int, by_lifetime: Fields) -> int:
        """Add tokens that were written to the cache; return how many.

        Args:
            total: all of them; 0 where only *by_lifetime* says.
            by_lifetime: ``ephemeral_5m_input_tokens`` and the like. What is missing there has the
                default lifetime.
        """
        split = 0
        for lifetime in _LIFETIMES if by_lifetime is not NOTHING else ():
            count = self.count(by_lifetime, f"ephemeral_{lifetime}_input_tokens")
            self.add(f"cache_write_{lifetime}", count)
            split += count
        self.add("cache_write_5m", max(total - split, 0))
        if total and split not in {0, total}:
            self.contradict(f"{split} tokens written to the cache by lifetime, {total} in all")
        return max(total, split)

    def add_cache_reads(self, total: int, by_medium: Fields, media: dict[str, int]) -> None:
        """Add cached tokens of the prompt, and what is left uncached of its media.

        Args:
            total: all cached tokens.
            by_medium: cached tokens under ``audio_tokens`` and the like, where they are told apart.
            media: tokens by medium, cached ones included.
        """
        text = total
        for medium in MEDIA if media or by_medium is not NOTHING else ():
            cached = self.count(by_medium, f"{medium}_tokens")
            self.add(f"cache_read_{medium}", cached)
            text -= cached
            uncached = media.get(medium, 0) - cached
            self.add(f"{medium}_in", max(uncached, 0))
            if uncached < 0:
                self.contradict(f"{cached} cached {medium} tokens of {media.get(medium, 0)}")
        self.add("cache_read", max(text, 0))
        if text < 0:
            self.contradict(f"{total - text} cached tokens by medium, {total} in all")

    def contradict(self, what: str) -> None:
        """Note that the report contradicts itself."""
        self._notes.append(what)
        self._contradicts = True

    def check_total(self, total: int, *sums: int) -> None:
        """Compare a stated total, 0 for none, with what it can be the sum of."""
        if total and total not in sums:
            self.contradict(f"a total of {total} tokens, but parts of {sums[0]}")

    def usage(self, prompt: int, completion: int) -> Usage | None:
        """Return the usage; `None` when nothing was counted, which no call can have used.

        Args:
            prompt: all prompt tokens, cached ones and media included.
            completion: all tokens of the answer, reasoning and media included.
        """
        if not (prompt or completion or self.counts or self.other or self.cost):
            return None
        if self.counts or self.other or max(prompt, completion) > LARGEST_COUNT:
            usage = Usage.from_totals(
                prompt,
                completion,
                service_tier=self.service_tier,
                region=self.region,
                stated_cost=self.cost,
                other=self.other,
                **self.counts,
            )
        else:
            usage = Usage(
                input=prompt,
                output=completion,
                service_tier=self.service_tier,
                region=self.region,
                stated_cost=self.cost,
            )
        return self._annotated(usage) if self._notes else usage

    def _annotated(self, usage: Usage) -> Usage:
        trust = Trust.INCONSISTENT if self._contradicts else usage.trust
        notes = [*self._notes[:_MOST_NOTES], *([usage.note] if usage.note else ())]
        if more := len(self._notes[_MOST_NOTES:]):
            notes.append(f"and {more} more")
        return replace(usage, trust=trust, note="; ".join(notes))


def _tier(usage: Fields, whole: Fields) -> str | None:
    said = word(usage.get("service_tier")) or word(whole.get("service_tier"))
    if not said:
        said = word(usage.get("serviceTier"))  # Gemini
    if not said and (tier := whole.get("serviceTier")) is not None:
        said = word(tier) or word(fields_of(tier).get("type"))
    return None if said in STANDARD else said
