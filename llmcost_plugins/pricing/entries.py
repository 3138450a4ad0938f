"""From an entry of LiteLLM's map to the prices of a model, with what is odd about them."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, time, tzinfo
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from llmcost_plugins.money import rate_to_fine
from llmcost_plugins.pricing.keys import is_left_out, parse_key
from llmcost_plugins.pricing.rates import (
    ANYWHERE_ELSE,
    Band,
    OffPeak,
    OffPeakRule,
    Prices,
    RateKey,
    Ratio,
)
from llmcost_plugins.usage import METERS

LOCAL_PROVIDERS: Final = frozenset(
    {"ollama", "ollama_chat", "lm_studio", "llamafile", "lemonade", "docker_model_runner"}
)
TOKEN_CEILING: Final = 0.001
"""USD per token: the dearest model of 2026 takes 0.0006; more is taken for a mistake of the map."""
UNIT_CEILING: Final = 10.0
"""USD per image, second, page, search, …: likewise."""
_MAIN: Final = {
    "bedrock_converse": "bedrock",
    "cohere_chat": "cohere",
    "text-completion-openai": "openai",
}
_TEXT_MODES: Final = ("chat", "completion", "responses", None)  # a map may say anything
_REGIONAL: Final = "regional_processing_uplift_multiplier_"
_REGION: Final = re.compile(r"[a-z]{2}|fast")
_HIGHEST_UPLIFT: Final = 10
_WINDOW: Final = re.compile(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*")
_SEARCH_SIZE: Final = "search_context_size_"
# Perplexity's own default is the small search context, everyone else's the medium one.
_DEFAULT_SIZES: Final = {"perplexity": ("low", "medium", "high")}
_SIZES: Final = ("low", "medium", "high")
_USUAL_SIZES: Final = ("medium", "low", "high")


class _OddPriceError(Exception):
    """An entry that must not be used, with the reason."""


class _MistakeError(_OddPriceError):
    """An entry with a price that cannot be right."""


def compile_prices(model: str, raw: Mapping[str, Any]) -> Prices | str:
    """Read the map's entry of *model*; return its prices, or why it has none.

    A price of zero is no price, except for providers that run on the user's own machine, and where
    the user states it: LiteLLM's map says 0 for many models that are billed elsewhere. What is
    merely odd is used, and said in `Prices.remarks`.
    """
    try:
        prices = _compiled(model, raw)
    except _OddPriceError as error:
        return str(error)
    if "earlier" not in raw:
        return prices
    before = ((until, compile_prices(model, entry)) for until, entry in raw["earlier"])
    return replace(
        prices, earlier=tuple((until, old) for until, old in before if isinstance(old, Prices))
    )


def mistake_in(raw: Mapping[str, Any]) -> str:
    """Say which price of an entry cannot be right; empty when none."""
    try:
        _compiled("", raw)
    except _MistakeError as error:
        return str(error)
    except _OddPriceError:
        pass
    return ""


def _compiled(model: str, raw: Mapping[str, Any]) -> Prices:
    if "unpriced" in raw:
        raise _OddPriceError(raw["unpriced"])
    provider = str(raw.get("litellm_provider", ""))
    remarks: list[str] = []
    trusted = bool(raw.get("stated_by_user"))
    rates = _rates(raw, provider, remarks, trusted=trusted)
    bands = _bands(raw, trusted=trusted)
    if not bands:
        _must_have_a_price(rates, provider, raw.get("mode"), trusted=trusted)
    remarks += _oddities(rates)
    return Prices(
        model=model,
        provider=main_provider(provider),
        rates=rates,
        thresholds=tuple(sorted({threshold for _, threshold, _ in rates if threshold})),
        max_input_tokens=_limit(raw, "max_input_tokens"),
        max_output_tokens=_limit(raw, "max_output_tokens", "max_tokens"),
        reasons=bool(raw.get("supports_reasoning")),
        bands=bands,
        off_peak=_off_peak(raw, trusted=trusted),
        uplifts=dict(_uplifts(raw)),
        once=_once(raw, provider),
        retired=str(raw.get("retired", "")),
        by_user=trusted,
        remarks=tuple(remarks),
    )


def local_prices(model: str, provider: str) -> Prices:
    """Return the prices of a model on the user's own machine: nothing, whatever its name."""
    free = {("input", 0, ""): 0, ("output", 0, ""): 0}
    return Prices(model, provider, free, (), None, None)


def main_provider(provider: str) -> str:
    """Return the one name of a provider that LiteLLM has several for."""
    # LiteLLM splits Vertex into vertex_ai-language-models, vertex_ai-anthropic_models, …
    return "vertex_ai" if provider.startswith("vertex_ai-") else _MAIN.get(provider, provider)


def _rates(
    raw: Mapping[str, Any], provider: str, remarks: list[str], *, trusted: bool
) -> dict[RateKey, int]:
    rates: dict[RateKey, int] = {}
    for name, value in raw.items():
        key = parse_key(name)
        if key is None:
            if "_cost_per_" in name and _is_number(value) and not is_left_out(name):
                remarks.append(f"{name} is not understood and not used")
            continue
        threshold = key.threshold
        if threshold and provider == "xai":
            threshold -= 1  # xAI's long prompts begin at the threshold, others' after it
        rate = _fine(name, value, key.meter, trusted=trusted)
        rates[key.meter, threshold, key.tier] = rate // key.per
    _add_searches(rates, raw, provider, trusted=trusted)
    if provider == "fireworks_ai" and ("input", 0, "") in rates:
        # Fireworks bills cached tokens at half the input price where its list states no other.
        rates.setdefault(("cache_read", 0, ""), rates["input", 0, ""] // 2)
    if not rates.get(("output", 0, "")) and ("image_out", 0, "") in rates:
        # A model that only makes images: all of its answer is of that price.
        rates["output", 0, ""] = rates["image_out", 0, ""]
    return rates


def _add_searches(
    rates: dict[RateKey, int], raw: Mapping[str, Any], provider: str, *, trusted: bool
) -> None:
    searches = raw.get("search_context_cost_per_query")
    if not isinstance(searches, Mapping):
        return
    for size in _SIZES:
        value = searches.get(f"{_SEARCH_SIZE}{size}")
        if value is not None:
            meter = f"web_search_{size}"
            rates[meter, 0, ""] = _fine(f"{_SEARCH_SIZE}{size}", value, meter, trusted=trusted)
    for size in _DEFAULT_SIZES.get(provider, _USUAL_SIZES):
        if (rate := rates.get((f"web_search_{size}", 0, ""))) is not None:
            rates["web_search", 0, ""] = rate
            break


def _once(raw: Mapping[str, Any], provider: str) -> frozenset[str]:
    """Say which fees are due once a call: Google bills a grounded prompt, newer models a query."""
    google = provider == "gemini" or provider.startswith("vertex_ai")
    claude = "anthropic" in provider
    if google and not claude and raw.get("web_search_billing_unit") != "per_query":
        return frozenset({"web_search", *(f"web_search_{size}" for size in _SIZES)})
    return frozenset()


def _bands(raw: Mapping[str, Any], *, trusted: bool) -> tuple[Band, ...]:
    table = raw.get("tiered_pricing")
    if not table:
        return ()
    if not isinstance(table, list) or not all(_is_band(band) for band in table):
        msg = "its tiered_pricing has a structure that this version cannot compute"
        raise _OddPriceError(msg)
    found = []
    for band in sorted(table, key=lambda band: band["range"][1]):
        rates = {
            key.meter: _fine(name, value, key.meter, trusted=trusted)
            for name, value in band.items()
            if (key := parse_key(name)) is not None
        }
        found.append(Band(int(band["range"][1]), rates))
    return tuple(found)


def _is_band(band: object) -> bool:
    if not isinstance(band, Mapping) or "input_cost_per_token" not in band:
        return False
    bounds = band.get("range")
    return isinstance(bounds, list) and len(bounds) == 2 and all(map(_is_number, bounds))  # noqa: PLR2004 - from, to


def _off_peak(raw: Mapping[str, Any], *, trusted: bool) -> OffPeak | None:
    block = raw.get("off_peak_pricing")
    if not block:
        return None
    if not isinstance(block, Mapping):
        msg = "its off_peak_pricing has a structure that this version cannot compute"
        raise _OddPriceError(msg)
    rates = {
        key.meter: _fine(name, value, key.meter, trusted=trusted)
        for name, value in block.items()
        if (key := parse_key(name)) is not None
    }
    try:
        rules = tuple(_rules(block))
    except (AttributeError, TypeError, ValueError):
        msg = "its off_peak_pricing has a structure that this version cannot compute"
        raise _OddPriceError(msg) from None
    return OffPeak(rates, rules)


def _rules(block: Mapping[str, Any]) -> Iterator[OffPeakRule]:
    if block.get("hours_utc"):
        yield OffPeakRule(_hours(block["hours_utc"]), frozenset())
    zone = _zone(block.get("weekday_timezone"))
    for window in block.get("windows") or ():
        days = frozenset(window.get("weekdays") or ())
        yield OffPeakRule(_hours(window.get("hours_utc")), days, zone)


def _hours(windows: Any) -> tuple[tuple[time, time], ...]:
    found = []
    for text in (windows,) if isinstance(windows, str) else windows or ():
        parsed = _WINDOW.fullmatch(text) if isinstance(text, str) else None
        if parsed is None:
            msg = f"its off_peak_pricing has hours that cannot be read: {text!r}"
            raise _OddPriceError(msg)
        start_hour, start_minute, end_hour, end_minute = map(int, parsed.groups())
        found.append((time(start_hour % 24, start_minute), time(end_hour % 24, end_minute)))
    return tuple(found)


def _zone(name: object) -> tzinfo:
    try:
        return ZoneInfo(str(name)) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _uplifts(raw: Mapping[str, Any]) -> Iterator[tuple[str, Ratio]]:
    for name, value in raw.items():
        if name.startswith(_REGIONAL) and (ratio := _ratio(value)):
            yield name.removeprefix(_REGIONAL), ratio
    if ratio := _ratio(raw.get("regional_endpoint_uplift_multiplier")):
        yield ANYWHERE_ELSE, ratio
    if ratio := _ratio(raw.get("fedramp_uplift_multiplier")):
        yield "fedramp", ratio
    more = raw.get("provider_specific_entry")
    for name, value in more.items() if isinstance(more, Mapping) else ():
        if _REGION.fullmatch(name) and (ratio := _ratio(value)):
            yield name, ratio


def _ratio(value: object) -> Ratio | None:
    if not _is_number(value) or not 0 < value <= _HIGHEST_UPLIFT:  # type: ignore[operator]  # a number
        return None
    return Decimal(str(value)).as_integer_ratio()


def _fine(name: str, value: object, meter: str, *, trusted: bool) -> int:
    if not _is_number(value) or not math.isfinite(value) or value < 0:  # type: ignore[arg-type, operator]  # a number
        msg = f"its {name} is {value!r}, which is not a price"
        raise _MistakeError(msg)
    is_token = meter in METERS or meter.startswith("cache_") or meter == "citation"
    ceiling = TOKEN_CEILING if is_token else UNIT_CEILING
    if not trusted and value > ceiling:  # type: ignore[operator]  # a number
        msg = (
            f"its {name} is {value!r}, more than {ceiling} USD, which is taken for a mistake; "
            f"state it in a file of LLMCOST_PRICES if it is right"
        )
        raise _MistakeError(msg)
    return rate_to_fine(value)  # type: ignore[arg-type]  # a number


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _must_have_a_price(
    rates: Mapping[RateKey, int], provider: str, mode: object, *, trusted: bool
) -> None:
    may_be_free = trusted or provider in LOCAL_PROVIDERS
    sides = [rates.get((meter, 0, "")) for meter in ("input", "output")]
    if not rates or (mode in _TEXT_MODES and sides == [None, None]):
        msg = "the price map has no price for it"
        raise _OddPriceError(msg)
    if not may_be_free and not any(rates.values()):
        msg = "the price map says 0, which is not a price"
        raise _OddPriceError(msg)
    if mode in _TEXT_MODES and not any(sides) and not may_be_free:
        msg = "the price map says 0 for its tokens, which is not a price"
        raise _OddPriceError(msg)
    if mode in _TEXT_MODES and None in sides:
        msg = "the price map prices only one side of it"
        raise _OddPriceError(msg)


def _oddities(rates: Mapping[RateKey, int]) -> Iterator[str]:
    """Say what is probably a mistake of the map, though it may be right."""
    into, out = rates.get(("input", 0, "")), rates.get(("output", 0, ""))
    if None not in {into, out} and not (into and out):
        yield "the map says 0 for one side of it"
    if into and out and out < into:
        yield "an answer costs less than a prompt; the two may be swapped"
    read, write = rates.get(("cache_read", 0, "")), rates.get(("cache_write_5m", 0, ""))
    if into and read is not None and read > into:
        yield "a cached token costs more than an uncached one"
    if into and write and write < into:
        yield "a written token costs less than an uncached one"


def _limit(raw: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        value = raw.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return int(value)
    return None
