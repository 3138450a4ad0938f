"""The most a call can cost, computed before it is made.

A true upper bound as long as the prompt bound and the output cap hold: it takes the dearest price
that any split of the tokens into meters could get. Counting approximations such as characters/4 are
not used: they are short by a factor of 3 on Chinese and of 10 on random Unicode, while a byte-level
tokenizer never makes more tokens than the text has UTF-8 bytes.
"""

from dataclasses import dataclass
from typing import Final

from llmcost_plugins.money import FINE_PER_NANO, hold_nano
from llmcost_plugins.pricing.cost import price_tier
from llmcost_plugins.pricing.rates import TIERS, Prices

_TEXT_IN: Final = ("input", "cache_read", "cache_write_5m", "cache_write_1h")


@dataclass(frozen=True, slots=True)
class CallSize:
    """How large a call can become.

    Attributes:
        prompt_bound: at most so many prompt tokens.
        output_cap: at most so many answer tokens per choice, reasoning included; `None` when
            nothing limits them but the model.
        choices: how many answers are asked for (OpenAI's ``n``).
        service_tier: the tier asked for; ``auto`` may be billed at any.
        audio: whether audio goes in or out.
    """

    prompt_bound: int
    output_cap: int | None
    choices: int = 1
    service_tier: str | None = None
    audio: bool = False


def output_bound(size: CallSize, prices: Prices, default_cap: int) -> int:
    """Return the answer tokens per choice to hold for.

    A declared cap counts as it is, limited by the model. Without one, *default_cap* does.
    """
    cap = default_cap if size.output_cap is None else size.output_cap
    limit = prices.max_output_tokens
    return cap if limit is None else min(cap, limit)


def upper_bound(size: CallSize, prices: Prices, default_cap: int) -> int:
    """Return the most that the call can cost, in nano-dollars, rounded up."""
    prompt = size.prompt_bound
    if prices.max_input_tokens is not None:
        prompt = min(prompt, prices.max_input_tokens)
    output = output_bound(size, prices, default_cap) * max(size.choices, 1)
    into = (*_TEXT_IN, "audio_in") if size.audio else _TEXT_IN
    out = ("output", "reasoning", "audio_out") if size.audio else ("output", "reasoning")
    return hold_nano(
        prompt * _dearest(prices, into, prompt, size.service_tier)
        + output * _dearest(prices, out, prompt, size.service_tier)
    )


def ceiling_bound(size: CallSize, rates: tuple[int, int], default_cap: int) -> int:
    """Return the same for a model without a price, from stated nano-dollars per million tokens."""
    cap = default_cap if size.output_cap is None else size.output_cap
    tokens_x_rates = size.prompt_bound * rates[0] + cap * max(size.choices, 1) * rates[1]
    return hold_nano(tokens_x_rates * FINE_PER_NANO // 1_000_000)


def _dearest(prices: Prices, meters: tuple[str, ...], prompt: int, tier: str | None) -> int:
    # With a tier, a lower band can be dearer than a higher one: look at all the call can reach.
    lengths = (0, *(threshold + 1 for threshold in prices.thresholds if threshold < prompt))
    tiers = ("", *TIERS) if tier == "auto" else (price_tier(tier),)
    return max(
        prices.rate(meter, length, t) for meter in meters for length in lengths for t in tiers
    )
