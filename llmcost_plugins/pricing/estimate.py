"""The most a call can cost, computed before it is made.

A true upper bound as long as the prompt bound and the output cap hold: it takes the dearest price
that any split of the tokens into meters could get. Counting approximations such as characters/4 are
not used: they are short by a factor of 3 on Chinese and of 10 on random Unicode, while a byte-level
tokenizer never makes more tokens than the text has UTF-8 bytes.

With a tokenizer at hand the bound is closer; with what was learned from earlier calls it is closer
still, but no bound any more (see `Mode`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from llmcost_plugins.money import FINE_PER_NANO, hold_nano
from llmcost_plugins.pricing.rates import BATCHES, FAST, Prices

_USUAL_BYTES: Final = 4
"""UTF-8 bytes of text that usually make a token."""
_TEXT_IN: Final = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_12h")
_TEXT_OUT: Final = ("output", "reasoning")
_MEDIA_OUT: Final = ("image_out", "video_out")
_SEARCH_FEES: Final = ("web_search", "web_search_low", "web_search_medium", "web_search_high")
_NOT_ASKED_FOR: Final = frozenset({FAST, "fedramp"})
MILLION: Final = 1_000_000
MARGIN: Final = (115, 100)
"""What is added to the largest ratio seen, 15 %: it covers the next text of the same kind."""
LEARNED_FROM: Final = 20
"""Calls to be seen before a learned ratio is used."""
_KINDS_KEPT: Final = 256
_TELLING_BYTES: Final = 256
"""A shorter prompt says little: most of its tokens are framing."""


class Mode(StrEnum):
    """How the prompt's part of an estimate was found."""

    BOUND = "bound"
    """By its UTF-8 bytes: no tokenizer makes more tokens of it."""
    EXACT = "exact"
    """Counted with the model's own tokenizer, with a margin for the framing of messages."""
    CALIBRATED = "calibrated"
    """The largest ratio of tokens to measure seen for this model, with a margin: close, and not a
    bound, since the next prompt may be in another language."""


@dataclass(frozen=True, slots=True)
class CallSize:
    """How large a call can become.

    Attributes:
        prompt_bound: at most so many prompt tokens.
        output_cap: at most so many answer tokens per choice, reasoning included; `None` when
            nothing limits them but the model.
        choices: how many answers are asked for (OpenAI's ``n``).
        service_tier: the tier asked for; ``auto`` may be billed at any.
        media: what goes in or out beside text: ``audio``, ``image``, ``video``.
        region: where it is processed, see `Usage.region`; `None` when nothing says.
        web_searches: how many searches the provider may run for it.
        text_bytes: the part of *prompt_bound* that is text, counted by its UTF-8 bytes.
        text_tokens: the same text counted with a tokenizer, where one was asked for.
        tokenizer: the name of that tokenizer's encoding.
        queries: how many rerank or search units the provider may bill.
        many: whether it is many texts, for each of which the model's limit holds by itself.
    """

    prompt_bound: int
    output_cap: int | None
    choices: int = 1
    service_tier: str | None = None
    media: frozenset[str] = frozenset()
    region: str | None = None
    web_searches: int = 0
    text_bytes: int = 0
    text_tokens: int | None = None
    tokenizer: str = ""
    queries: int = 0
    many: bool = False

    @property
    def likely_prompt(self) -> int:
        """About how many prompt tokens there are; far fewer than the bound, which none exceeds."""
        text = self.text_bytes // _USUAL_BYTES if self.text_tokens is None else self.text_tokens
        return text + self.prompt_bound - self.text_bytes

    @property
    def measure(self) -> str:
        """What the text was measured in: an encoding's name, or ``bytes``."""
        return self.tokenizer or "bytes"

    @property
    def measured(self) -> int:
        """The size of the text in that measure."""
        return self.text_bytes if self.text_tokens is None else self.text_tokens


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call is held for.

    Attributes:
        nano: nano-dollars.
        mode: how the prompt was measured.
        prompt: the prompt tokens counted on.
        output: the answer tokens counted on, those of all choices.
    """

    nano: int
    mode: Mode
    prompt: int
    output: int


def ratio_seen(size: CallSize, prompt_tokens: int) -> int | None:
    """Return the tokens per million units of measure that a finished call shows.

    What framing, tools and media may have taken is left out at its bound, as `estimate` adds it.
    `None` where the call says nothing: it is short, has parts that are no text, or was billed for
    more tokens than its text has bytes.
    """
    if size.text_bytes < _TELLING_BYTES or size.media or size.web_searches or not size.measured:
        return None
    rest = size.prompt_bound - size.text_bytes
    ratio = max(prompt_tokens - rest, 0) * MILLION // size.measured
    # A server that keeps the conversation bills more than was sent.
    return ratio if ratio * size.measured <= size.text_bytes * MILLION else None


def estimate(  # noqa: PLR0913 - keyword-only facts with defaults
    size: CallSize,
    prices: Prices,
    default_cap: int,
    *,
    at: datetime | None = None,
    own_tokenizer: bool = False,
    ratio: int | None = None,
) -> Estimate:
    """Return the most that the call can cost.

    Args:
        size: how large it can become.
        prices: the prices of its model.
        default_cap: the answer tokens to count with where no cap is declared.
        at: when it is made; off-peak prices are not counted on.
        own_tokenizer: whether the text was counted with the model's own tokenizer.
        ratio: the largest `ratio_seen` of the model in the measure of *size*, to calibrate with.
    """
    prices = prices.at(at)
    prompt, mode = _prompt_tokens(size, ratio, own_tokenizer=own_tokenizer)
    if prices.max_input_tokens is not None and not size.many:
        prompt = min(prompt, prices.max_input_tokens)
    output = output_bound(size, prices, default_cap) * max(size.choices, 1)
    into, out, fees = _most(prices, prompt, size)
    return Estimate(hold_nano(prompt * into + output * out + fees), mode, prompt, output)


def _prompt_tokens(size: CallSize, ratio: int | None, *, own_tokenizer: bool) -> tuple[int, Mode]:
    rest = size.prompt_bound - size.text_bytes
    if own_tokenizer and size.text_tokens is not None:
        return min(size.prompt_bound, rest + size.text_tokens), Mode.EXACT
    if ratio is not None:
        text = -(-size.measured * ratio * MARGIN[0] // (MILLION * MARGIN[1]))
        return min(size.prompt_bound, rest + text), Mode.CALIBRATED
    return size.prompt_bound, Mode.BOUND


def output_bound(size: CallSize, prices: Prices, default_cap: int) -> int:
    """Return the answer tokens per choice to hold for.

    A declared cap counts as it is, limited by the model. Without one, *default_cap* does.
    """
    cap = default_cap if size.output_cap is None else size.output_cap
    limit = prices.max_output_tokens
    return cap if limit is None else min(cap, limit)


def upper_bound(size: CallSize, prices: Prices, default_cap: int) -> int:
    """Return the most that the call can cost by its UTF-8 bytes, in nano-dollars."""
    return estimate(size, prices, default_cap).nano


def ceiling_estimate(size: CallSize, rates: tuple[int, int], default_cap: int) -> Estimate:
    """Return the same for a model without a price, from stated nano-dollars per million tokens."""
    cap = default_cap if size.output_cap is None else size.output_cap
    output = cap * max(size.choices, 1)
    nano = ceiling_nano(size.prompt_bound, output, rates)
    return Estimate(nano, Mode.BOUND, size.prompt_bound, output)


def ceiling_nano(prompt: int, output: int, rates: tuple[int, int]) -> int:
    """Return what tokens cost at stated nano-dollars per million, rounded up."""
    return hold_nano((prompt * rates[0] + output * rates[1]) * FINE_PER_NANO // MILLION)


def _most(prices: Prices, prompt: int, size: CallSize) -> tuple[int, int, int]:
    """Return the dearest price of a token of the prompt and of the answer, and the fees of a call.

    Worked out once for calls of a kind, since every call asks.
    """
    case = (
        prices.step(prompt),
        size.service_tier,
        size.region,
        size.media,
        size.web_searches,
        size.queries,
    )
    most = prices.most.get(case)
    if most is None:
        into = (*_TEXT_IN, *(f"cache_write_{kind}" for kind in size.media))
        into += tuple(f"{kind}_in" for kind in size.media)
        # A model that makes images may do so unasked; audio has to be asked for.
        out = (*_TEXT_OUT, *(m for m in _MEDIA_OUT if (m, 0, "") in prices.rates))
        if "audio" in size.media:
            out += ("audio_out",)
        most = (
            _dearest(prices, into, prompt, size),
            _dearest(prices, out, prompt, size),
            _fees(prices, size),
        )
        if len(prices.most) >= _KINDS_KEPT:
            prices.most.clear()
        prices.most[case] = most
    return most


def _dearest(prices: Prices, meters: Iterable[str], prompt: int, size: CallSize) -> int:
    # With a tier, a lower band can be dearer than a higher one: look at all the call can reach.
    tables = [
        prices.table(length, tier, region)
        for length in prices.lengths(prompt)
        for tier in _tiers(prices, size)
        for region in _regions(prices, size)
    ]
    return max(table.get_or_zero(meter) for meter in meters for table in tables)


def _tiers(prices: Prices, size: CallSize) -> Iterable[str | None]:
    if size.service_tier != "auto":
        return (size.service_tier,)
    fast = (FAST,) if FAST in prices.uplifts else ()
    return (None, *sorted(prices.tiers - {BATCHES}), *fast)


def _regions(prices: Prices, size: CallSize) -> Iterable[str | None]:
    if size.region is not None:
        return (size.region,)
    # An account can be bound to a region without the request saying so.
    return (None, *(region for region in prices.uplifts if region not in _NOT_ASKED_FOR))


def _fees(prices: Prices, size: CallSize) -> int:
    table = prices.table(0)
    fees = table.get_or_zero("request") + size.queries * table.get_or_zero("query")
    if size.web_searches:
        searches = 1 if "web_search" in prices.once else size.web_searches
        fees += searches * max(table.get_or_zero(meter) for meter in _SEARCH_FEES)
    return fees
