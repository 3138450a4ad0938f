"""What a call used: counts by meter.

A **meter** is one class of usage that has its own price. Meters never overlap: `Usage.input` is
the part of the prompt that was neither read from nor written to the provider's cache, and
`Usage.output` is the part of the answer that was not reasoning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
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
    """No price is known for the model; the cost of 0 is not a statement that it was free."""


METERS: Final = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "audio_in",
    "output",
    "reasoning",
    "audio_out",
)
"""The meters of this version, prompt side first; each is a field of `Usage`, in tokens."""

PROMPT_METERS: Final = METERS[:5]
COMPLETION_METERS: Final = METERS[5:]


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts by meter, with the facts that change their price.

    Attributes:
        input: prompt tokens that were neither cached nor audio.
        cache_read: prompt tokens read from the provider's prompt cache.
        cache_write_5m: prompt tokens written to it with the default lifetime.
        cache_write_1h: prompt tokens written to it with the one-hour lifetime.
        audio_in: uncached audio tokens of the prompt.
        output: text tokens of the answer, without reasoning.
        reasoning: hidden reasoning tokens of the answer.
        audio_out: audio tokens of the answer.
        service_tier: the tier the provider billed (``flex``, ``priority``); `None` is standard.
        trust: where the counts come from.

    Raises:
        ValueError: a count is negative.
    """

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    audio_in: int = 0
    output: int = 0
    reasoning: int = 0
    audio_out: int = 0
    service_tier: str | None = None
    trust: Trust = Trust.PROVIDER

    def __post_init__(self) -> None:
        for meter in METERS:
            count = getattr(self, meter)
            if count < 0:
                msg = f"usage of meter {meter!r} is negative: {count}"
                raise ValueError(msg)

    @classmethod
    def from_totals(  # noqa: PLR0913 - one argument for each number a provider reports
        cls,
        prompt: int,
        completion: int,
        *,
        cache_read: int = 0,
        cache_write_5m: int = 0,
        cache_write_1h: int = 0,
        audio_in: int = 0,
        reasoning: int = 0,
        audio_out: int = 0,
        service_tier: str | None = None,
    ) -> "Usage":
        """Split totals that include their details (OpenAI, LangChain) into meters.

        *prompt* includes cached, written and audio tokens, *completion* includes reasoning and
        audio. Where details exceed their total the details win, so that nothing is dropped, and
        the trust is `Trust.INCONSISTENT`.
        """
        input_ = prompt - cache_read - cache_write_5m - cache_write_1h - audio_in
        output = completion - reasoning - audio_out
        consistent = input_ >= 0 and output >= 0
        return cls(
            input=max(input_, 0),
            cache_read=cache_read,
            cache_write_5m=cache_write_5m,
            cache_write_1h=cache_write_1h,
            audio_in=audio_in,
            output=max(output, 0),
            reasoning=reasoning,
            audio_out=audio_out,
            service_tier=service_tier,
            trust=Trust.PROVIDER if consistent else Trust.INCONSISTENT,
        )

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not."""
        return sum(getattr(self, meter) for meter in PROMPT_METERS)

    @property
    def completion_tokens(self) -> int:
        """All tokens of the answer, reasoning included."""
        return sum(getattr(self, meter) for meter in COMPLETION_METERS)

    def to_counts(self) -> dict[str, int | str]:
        """Return the meters that are not zero, and the tier if there is one, for storage."""
        counts: dict[str, int | str] = {
            meter: count for meter in METERS if (count := getattr(self, meter))
        }
        if self.service_tier is not None:
            counts["service_tier"] = self.service_tier
        return counts

    @classmethod
    def from_counts(cls, counts: Mapping[str, int | str], trust: Trust) -> "Usage":
        """Rebuild a usage from `to_counts`; fields this version does not know are refused.

        Raises:
            ValueError: *counts* names an unknown field.
        """
        unknown = counts.keys() - _COUNT_NAMES
        if unknown:
            msg = f"unknown meters {sorted(unknown)} in a stored usage; is it from a newer version?"
            raise ValueError(msg)
        return cls(**counts, trust=trust)  # type: ignore[arg-type]  # names checked above


_COUNT_NAMES: Final = frozenset(field.name for field in fields(Usage)) - {"trust"}
