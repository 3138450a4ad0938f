"""What a call used: counts by meter.

A **meter** is one class of usage that has its own price. Meters never overlap: `Usage.input` is
the part of the prompt that was neither read from nor written to the provider's cache and is plain
text, and `Usage.output` is the part of the answer that was not reasoning, audio, image or video.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Final


class Trust(StrEnum):
    """Where the usage of an entry comes from, and so how far its cost can be trusted."""

    PROVIDER = "provider"
    """The provider reported the usage; the cost is exact."""
    ESTIMATED = "estimated"
    """The provider's report was missing; usage or price is a stated estimate."""
    INCONSISTENT = "inconsistent"
    """The report contradicts itself; its largest reading was used."""
    UNPRICED = "unpriced"
    """No price is known for the model, or for a part of what it did; a cost of 0 is not a statement
    that it was free."""


METERS: Final = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "audio_in",
    "image_in",
    "video_in",
    "output",
    "reasoning",
    "audio_out",
    "image_out",
    "video_out",
)
"""The common meters, prompt side first; each is a field of `Usage`, in tokens."""

PROMPT_METERS: Final = METERS[:7]
COMPLETION_METERS: Final = METERS[7:]

CACHE_METERS: Final = re.compile(r"cache_(read_(audio|image|video)|write_(\d+[mhd]|audio))")
"""The names of the rarer prompt meters in `Usage.other`, in tokens: cached tokens that are not
text, and cache writes with another lifetime."""

UNITS: Final = (
    "request",
    "web_search",
    "maps_search",
    "query",
    "citation",
    "images_in",
    "images_out",
    "pixels_in",
    "pixels_out",
    "characters_in",
    "characters_out",
    "ms_in",
    "ms_out",
    "audio_ms_in",
    "video_ms_in",
    "video_ms_out",
    "messages_in",
    "pages",
    "annotated_pages",
    "credits",
    "code_sessions",
)
"""The names of what is counted, but not in tokens, in `Usage.other`; durations in milliseconds.

``query`` is a rerank or search unit, ``citation`` a token of cited text that is billed apart.
"""

_UNIT: Final = re.compile(rf"(?:{'|'.join(UNITS)})(?:_[0-9][0-9a-z.]*|_low|_medium|_high)?")
LARGEST_COUNT: Final = 10**11
"""No call uses more of anything; a larger count is a mistake, and its cost might not fit a row."""


def is_meter(name: str) -> bool:
    """Tell whether *name* is a meter: a common one, a rarer one, or a unit with or without size.

    Sizes are those of the price map, e.g. ``images_out_1k``, ``ms_out_720p``, ``web_search_high``.
    """
    return name in METERS or bool(CACHE_METERS.fullmatch(name) or _UNIT.fullmatch(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Counts by meter, with the facts that change their price.

    Attributes:
        input: prompt tokens that were neither cached nor audio, image or video.
        cache_read: prompt tokens read from the provider's prompt cache.
        cache_write_5m: prompt tokens written to it with the default lifetime.
        cache_write_1h: prompt tokens written to it with the one-hour lifetime.
        audio_in: uncached audio tokens of the prompt.
        image_in: uncached image tokens of the prompt.
        video_in: uncached video tokens of the prompt.
        output: text tokens of the answer, without reasoning.
        reasoning: hidden reasoning tokens of the answer.
        audio_out: audio tokens of the answer.
        image_out: image tokens of the answer.
        video_out: video tokens of the answer.
        other: further meters, see `CACHE_METERS` and `UNITS`.
        service_tier: the tier the provider billed (``flex``, ``priority``, ``batch``; ``fast`` for
            Anthropic's fast mode); `None` is standard.
        region: where it was processed, if that changes the price (OpenAI's data residency,
            Anthropic's inference geography, Vertex AI's location), e.g. ``eu``, ``us``.
        stated_cost: what the provider says that the call costs, in USD.
        trust: where the counts come from.
        note: what is odd about the report; for people, no part of the usage.

    Raises:
        ValueError: a count is no int, negative or absurdly large, or *other* names no meter.
    """

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    audio_in: int = 0
    image_in: int = 0
    video_in: int = 0
    output: int = 0
    reasoning: int = 0
    audio_out: int = 0
    image_out: int = 0
    video_out: int = 0
    other: Mapping[str, int] = field(default_factory=dict, hash=False)
    service_tier: str | None = None
    region: str | None = None
    stated_cost: Decimal | None = None
    trust: Trust = Trust.PROVIDER
    note: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        # Every call has a usage, so that what is sound is passed quickly, and the rest looked at.
        for count in _COMMON(self):
            if type(count) is not int or not 0 <= count <= LARGEST_COUNT:
                for meter in METERS:
                    _check(meter, getattr(self, meter))
        for meter, count in self.other.items():
            if meter in METERS or not is_meter(meter):
                msg = f"{meter!r} is no meter of 'other'; see llmcost_plugins.usage.UNITS"
                raise ValueError(msg)
            _check(meter, count)

    @classmethod
    def from_totals(  # noqa: PLR0913 - one argument for each fact a provider reports
        cls,
        prompt: int,
        completion: int,
        *,
        service_tier: str | None = None,
        region: str | None = None,
        stated_cost: Decimal | None = None,
        other: Mapping[str, int] | None = None,
        **details: int,
    ) -> "Usage":
        """Split totals that include their details (OpenAI, LangChain) into meters.

        Never raises for odd numbers, since the call has been paid for: a negative count is taken
        as 0, one beyond `LARGEST_COUNT` as that. Where the parts exceed their total the parts win,
        so that nothing is dropped; only audio, image and video tokens of the prompt shrink to what
        was not cached, because providers count cached ones in both. Then, and for every such
        correction, the trust is `Trust.INCONSISTENT` and the note says why.

        Args:
            prompt: all prompt tokens, with those of *details*.
            completion: all tokens of the answer, with those of *details*.
            service_tier: see `Usage`.
            region: see `Usage`.
            stated_cost: see `Usage`.
            other: see `Usage`; its cache meters are parts of *prompt*.
            details: tokens by meter, e.g. ``cache_read=10``.
        """
        notes: list[str] = []
        counts = {meter: _mended(meter, n, notes) for meter, n in details.items() if n}
        more = {meter: _mended(meter, n, notes) for meter, n in (other or {}).items() if n}
        prompt, completion = (
            _mended("prompt", prompt, notes),
            _mended("completion", completion, notes),
        )
        cached = sum(n for m, n in (*counts.items(), *more.items()) if m.startswith("cache_"))
        left = _without_cached_media(counts, prompt, cached, notes)
        said = sum(counts.get(meter, 0) for meter in COMPLETION_METERS)
        if said > completion:
            notes.append(f"{said} tokens of parts in a completion of {completion}")
        return cls(
            **counts,
            input=left,
            output=max(completion - said, 0),
            other=more,
            service_tier=service_tier,
            region=region,
            stated_cost=stated_cost,
            trust=Trust.INCONSISTENT if notes else Trust.PROVIDER,
            note="; ".join(notes),
        )

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not."""
        tokens = (
            self.input
            + self.cache_read
            + self.cache_write_5m
            + self.cache_write_1h
            + self.audio_in
            + self.image_in
            + self.video_in
        )
        if self.other:
            tokens += sum(n for meter, n in self.other.items() if meter.startswith("cache_"))
        return tokens

    @property
    def completion_tokens(self) -> int:
        """All tokens of the answer, reasoning included."""
        return self.output + self.reasoning + self.audio_out + self.image_out + self.video_out

    def counts(self) -> dict[str, int]:
        """Return the meters that are not zero."""
        found = {meter: count for meter in METERS if (count := getattr(self, meter))}
        if self.other:
            found.update((meter, count) for meter, count in self.other.items() if count)
        return found

    def to_counts(self) -> dict[str, int | str]:
        """Return the meters that are not zero, and the facts if there are any, for storage."""
        counts: dict[str, int | str] = {**self.counts()}
        for fact in _FACTS:
            if (value := getattr(self, fact)) is not None:
                counts[fact] = str(value)
        return counts

    @classmethod
    def from_counts(cls, counts: Mapping[str, int | str], trust: Trust) -> "Usage":
        """Rebuild a usage from `to_counts`; fields this version does not know are refused.

        Raises:
            ValueError: *counts* names an unknown field.
        """
        known: dict[str, object] = {}
        other: dict[str, int] = {}
        for name, value in counts.items():
            if name in _COUNT_NAMES:
                known[name] = Decimal(value) if name == "stated_cost" else value
            elif is_meter(name) and isinstance(value, int):
                other[name] = value
            else:
                msg = f"unknown meter {name!r} in a stored usage; is it from a newer version?"
                raise ValueError(msg)
        return cls(**known, other=other, trust=trust)  # type: ignore[arg-type]  # names checked


_COMMON: Final = attrgetter(*METERS)
_FACTS: Final = ("service_tier", "region", "stated_cost")
_COUNT_NAMES: Final = frozenset(f.name for f in fields(Usage)) - {"other", "trust", "note"}


def _check(meter: str, count: object) -> None:
    if not isinstance(count, int):
        msg = f"usage of meter {meter!r} is {count!r}, which is no int"
    elif count < 0:
        msg = f"usage of meter {meter!r} is negative: {count}"
    elif count > LARGEST_COUNT:
        msg = f"usage of meter {meter!r} is absurd: {count}; at most {LARGEST_COUNT} is possible"
    else:
        return
    raise ValueError(msg)


def _mended(meter: str, count: int, notes: list[str]) -> int:
    if 0 <= count <= LARGEST_COUNT:
        return count
    notes.append(f"{meter} was reported as {count}")
    return 0 if count < 0 else LARGEST_COUNT


def _without_cached_media(
    counts: dict[str, int], prompt: int, cached: int, notes: list[str]
) -> int:
    """Shrink audio, image and video tokens to what can be uncached; return the plain text left."""
    media = sum(counts.get(meter, 0) for meter in _MEDIA_IN)
    left = prompt - cached - media
    if left >= 0:
        return left
    notes.append(f"{cached + media} tokens of parts in a prompt of {prompt}")
    if not cached:
        return 0
    room = max(prompt - cached, 0)
    for meter in _MEDIA_IN:
        kept = min(counts.get(meter, 0), room)
        counts[meter] = kept
        room -= kept
    return room


_MEDIA_IN: Final = ("audio_in", "image_in", "video_in")
