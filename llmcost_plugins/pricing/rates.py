"""The price keys of one model in LiteLLM's map, read by grammar.

A token price key is ``BASE[_above_1hr][_above_<N>k_tokens][_<tier>]``: which meter, from which
prompt length on, in which service tier. Reading the grammar instead of a list of keys keeps later
maps working: 18 keys appeared between litellm 1.106.2 and 1.109.1 alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from llmcost_plugins.money import rate_to_fine

TIERS: Final = ("flex", "priority", "ultrafast", "balanced")
"""Service tiers with prices of their own; batch jobs are not calls that a chain waits for."""

_METER_OF_BASE: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_in",
    "output_cost_per_audio_token": "audio_out",
}
_KEY: Final = re.compile(
    r"(?P<base>(?:input|output)_cost_per_(?:token|reasoning_token|audio_token)"
    r"|cache_(?:read|creation)_input_token_cost(?:_above_1hr)?)"
    r"(?:_above_(?P<thousands>\d+)k_tokens)?"
    rf"(?:_(?P<tier>{'|'.join(TIERS)}))?"
)
_NOT_UNDERSTOOD: Final = ("tiered_pricing", "off_peak_pricing", "input_cost_per_request")
LOCAL_PROVIDERS: Final = frozenset(
    {"ollama", "ollama_chat", "lm_studio", "llamafile", "lemonade", "docker_model_runner"}
)
_MAIN: Final = {
    "bedrock_converse": "bedrock",
    "cohere_chat": "cohere",
    "text-completion-openai": "openai",
}
_TEXT_MODES: Final = frozenset({"chat", "completion", "responses", None})

RateKey = tuple[str, int, str]
"""Meter, threshold in prompt tokens (0: from the first on), service tier ("": standard)."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The unit prices of one model.

    Attributes:
        model: the catalog's canonical key.
        provider: LiteLLM's name of the provider, e.g. ``openai``; one name for all its interfaces.
        rates: price in fine units (1e-24 USD) per token, by meter, threshold and tier.
        thresholds: prompt lengths from which other prices hold, ascending.
        max_input_tokens: the longest prompt the model takes, where known.
        max_output_tokens: the longest answer it gives, where known.
        reasons: whether answers may have hidden reasoning tokens.
    """

    model: str
    provider: str
    rates: Mapping[RateKey, int]
    thresholds: tuple[int, ...]
    max_input_tokens: int | None
    max_output_tokens: int | None
    reasons: bool = False

    def rate(self, meter: str, prompt_tokens: int, tier: str) -> int:
        """Return the price of one token of *meter* for a prompt of that length in that tier.

        Thresholds are all or nothing on the whole prompt, cached tokens included. A meter without
        a price of its own takes that of the meter it is a part of (a cached token costs at most
        what an uncached one does), as LiteLLM's calculator does.
        """
        own = self._banded(meter, prompt_tokens, tier)
        if meter == "reasoning" and ("reasoning", 0, tier) not in self.rates:
            # A tier that prices output prices reasoning with it.
            own = None if tier and ("output", 0, tier) in self.rates else own
        if own is not None:
            return own
        whole = _PART_OF.get(meter)
        return 0 if whole is None else self.rate(whole, prompt_tokens, tier)

    def _banded(self, meter: str, prompt_tokens: int, tier: str) -> int | None:
        found = self._at(meter, 0, tier)
        for threshold in self.thresholds:
            if prompt_tokens > threshold:
                beyond = self._at(meter, threshold, tier)
                found = found if beyond is None else beyond
        return found

    def _at(self, meter: str, threshold: int, tier: str) -> int | None:
        rate = self.rates.get((meter, threshold, tier)) if tier else None
        return self.rates.get((meter, threshold, "")) if rate is None else rate


_PART_OF: Final = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "audio_in": "input",
    "reasoning": "output",
    "audio_out": "output",
}


def compile_prices(model: str, raw: Mapping[str, Any]) -> Prices | str:
    """Read the map's entry of *model*; return its prices, or why it has none.

    A price of zero is no price, except for providers that run on the user's own machine: LiteLLM's
    map says 0 for many models that are billed elsewhere.
    """
    provider = str(raw.get("litellm_provider", ""))
    odd = [key for key in _NOT_UNDERSTOOD if raw.get(key)]
    if odd:
        return f"its price has a structure that this version cannot compute: {', '.join(odd)}"
    rates: dict[RateKey, int] = {}
    for key, value in raw.items():
        parsed = _KEY.fullmatch(key)
        if parsed is None or parsed["base"] not in _METER_OF_BASE:
            continue
        if not _is_price(value):
            return f"its {key} is {value!r}, which is not a price"
        threshold = int(parsed["thousands"] or 0) * 1000
        if threshold and provider == "xai":
            threshold -= 1  # xAI's long prompts begin at the threshold, others' after it
        rates[_METER_OF_BASE[parsed["base"]], threshold, parsed["tier"] or ""] = rate_to_fine(value)
    if provider == "fireworks_ai" and ("input", 0, "") in rates:
        # Fireworks bills cached tokens at half the input price where its list states no other.
        rates.setdefault(("cache_read", 0, ""), rates["input", 0, ""] // 2)
    reason = _why_unpriced(rates, provider, raw.get("mode"))
    if reason:
        return reason
    return Prices(
        model=model,
        provider=_main_provider(provider),
        rates=rates,
        thresholds=tuple(sorted({threshold for _, threshold, _ in rates if threshold})),
        max_input_tokens=_limit(raw, "max_input_tokens"),
        max_output_tokens=_limit(raw, "max_output_tokens", "max_tokens"),
        reasons=bool(raw.get("supports_reasoning")),
    )


def local_prices(model: str, provider: str) -> Prices:
    """Return the prices of a model on the user's own machine: nothing, whatever its name."""
    free = {("input", 0, ""): 0, ("output", 0, ""): 0}
    return Prices(model, provider, free, (), None, None)


def _main_provider(provider: str) -> str:
    # LiteLLM splits Vertex into vertex_ai-language-models, vertex_ai-anthropic_models, …
    return "vertex_ai" if provider.startswith("vertex_ai-") else _MAIN.get(provider, provider)


def _is_price(value: object) -> bool:
    # Below a dollar per token; NaN fails both comparisons.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def _why_unpriced(rates: Mapping[RateKey, int], provider: str, mode: object) -> str | None:
    input_rate, output_rate = rates.get(("input", 0, "")), rates.get(("output", 0, ""))
    if input_rate is None and output_rate is None:
        return "the price map has no token price for it"
    if not input_rate and not output_rate and provider not in LOCAL_PROVIDERS:
        return "the price map says 0, which is not a price"
    if mode in _TEXT_MODES and (input_rate is None or output_rate is None):
        return "the price map prices only one side of it"
    return None


def _limit(raw: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        value = raw.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return int(value)
    return None
