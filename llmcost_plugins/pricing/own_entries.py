"""One entry of the user's own prices: every field known and checked, prices converted to USD."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing import own_values as check
from llmcost_plugins.pricing.keys import parse_key
from llmcost_plugins.pricing.layouts import FLAGS
from llmcost_plugins.pricing.maps import SEARCH_PRICES, is_price, multiplied
from llmcost_plugins.pricing.near import hint
from llmcost_plugins.usage import CACHE_METERS, METERS

TIERS: Final = ("priority", "flex", "batches", "balanced", "ultrafast", "decisions")
"""The service tiers that LiteLLM's map has prices of; another word is a slip of the pen."""
_MULTIPLIER: Final = re.compile(
    r"regional_processing_uplift_multiplier_[a-z]{2}"
    r"|regional_endpoint_uplift_multiplier|fedramp_uplift_multiplier"
)
_DEAREST_TOKEN: Final = Decimal("0.01")
"""USD. Who states more has stated the price of a million tokens, or of a thousand."""


class Place(NamedTuple):
    """Where in which file something stands.

    Attributes:
        path: the file.
        model: the name of the model.
    """

    path: Path
    model: str

    def refuse(self, field: str, value: object, why: str, good: str = "") -> NoReturn:
        """Raise an error that names the place, the value, what is wrong, and a good line."""
        self.refuse_all(why, good, f": {field} = {check.shown(value)}")

    def refuse_all(self, why: str, good: str = "", what: str = "") -> NoReturn:
        """Raise an error that names the place, what is wrong with all of it, and a good line."""
        end = "" if why.endswith("?") else "."
        better = f"{end} A good line is: {good}" if good else ""
        msg = f"{str(self.path)!r}, model {self.model!r}{what} cannot be used: {why}{better}"
        raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True)
class OwnEntry:
    """What the user states of a model, from some time on.

    Attributes:
        fields: fields of LiteLLM's schema; prices in USD.
        discount: the part of all prices that is taken off, e.g. 0.15.
        valid_from: since when it holds; `None` means always.
        alias: the model that this one is priced as.
    """

    fields: Mapping[str, Any]
    discount: Decimal | None
    valid_from: datetime | None
    alias: str | None

    @property
    def has_prices(self) -> bool:
        """Tell whether a price is stated."""
        return any(is_price(field) or field in _TABLES for field in self.fields)

    @property
    def replaces_bands(self) -> bool:
        """Tell whether a price is stated that a table of bands would hide."""
        keys = (parse_key(field) for field in self.fields)
        stated = any(key and key.meter in _BANDED and not key.threshold for key in keys)
        return stated and "tiered_pricing" not in self.fields


def read_entry(value: object, place: Place) -> OwnEntry:
    """Check one entry and convert its prices.

    Raises:
        ConfigurationError: something in it cannot be used.
    """
    if not isinstance(value, Mapping) or not value:
        place.refuse("its entry", value, "it is not a table", "discount = 0.15")
    for field, content in value.items():
        known = _check_of(field)
        if known is None:
            place.refuse(field, content, _unknown(field, content))
        if wrong := known.problem(content):
            place.refuse(field, content, wrong, f"{field} = {known.good}")
    if "alias" in value and len(value) > 1:
        why = "it stands alone; the prices are those of the model that it names"
        place.refuse("alias", value["alias"], why)
    rate = _usd_rate(value, place)
    fields = {field: content for field, content in value.items() if field not in _OURS}
    if rate is not None:
        fields = multiplied(fields, rate)
    _refuse_prices_per_million(fields, value, place)
    return OwnEntry(
        fields,
        Decimal(value["discount"]) if "discount" in value else None,
        check.read_instant(value["valid_from"]) if "valid_from" in value else None,
        value.get("alias"),
    )


def _usd_rate(value: Mapping[str, Any], place: Place) -> Decimal | None:
    currency, rate = value.get("currency"), value.get("usd_rate")
    good = 'currency = "CNY" with usd_rate = 0.14, the USD for one CNY'
    if currency is None and rate is not None:
        place.refuse("usd_rate", rate, "it needs a currency", good)
    if currency == "USD" and rate not in {None, 1}:
        place.refuse("usd_rate", rate, "one USD is 1 USD", 'currency = "USD"')
    if currency not in {None, "USD"} and rate is None:
        place.refuse("currency", currency, "it needs a usd_rate", good)
    return None if rate is None else Decimal(rate)


def _refuse_prices_per_million(
    fields: Mapping[str, Any], stated: Mapping[str, Any], place: Place
) -> None:
    for field, price in fields.items():
        key = parse_key(field)
        is_token = key and (key.meter in METERS or CACHE_METERS.fullmatch(key.meter))
        if is_token and price > _DEAREST_TOKEN:
            why = f"it is more than {_DEAREST_TOKEN} USD for one token; state the price of one"
            place.refuse(field, stated[field], why, f"{field} = 0.0000025")


class _Known(NamedTuple):
    """How a field is checked, and a good value of it as TOML."""

    problem: check.Check
    good: str


def _check_of(field: str) -> _Known | None:
    if field in _FIELDS:
        return _FIELDS[field]
    if _MULTIPLIER.fullmatch(field):
        return _Known(check.multiplier, "1.1")
    key = parse_key(field)
    if key is None or (key.tier and key.tier not in TIERS):
        return None
    return _Known(check.price, "0.0000025")


def _unknown(field: str, value: object) -> str:
    if isinstance(value, Mapping):
        return "there is no such table; in TOML a name with a dot or a slash needs quotes"
    return f"there is no such field{hint(field, _EXAMPLES, 2)}"


_BANDED: Final = frozenset({"input", "output", "cache_read", "cache_write_5m", "reasoning"})
_OURS: Final[Mapping[str, _Known]] = {
    "alias": _Known(check.name, '"azure/gpt-4o"'),
    "currency": _Known(check.currency, '"CNY"'),
    "usd_rate": _Known(check.usd_rate, "0.14"),
    "discount": _Known(check.discount, "0.15"),
    "valid_from": _Known(check.instant, '"2027-01-01"'),
}
_TABLES: Final[Mapping[str, _Known]] = {
    SEARCH_PRICES: _Known(check.search_prices, "{ search_context_size_medium = 0.01 }"),
    "tiered_pricing": _Known(
        check.bands,
        "[{ range = [0, 32000], input_cost_per_token = 0.000001, output_cost_per_token = 0.000004 "
        "}]",
    ),
    "off_peak_pricing": _Known(
        check.off_peak, '{ hours_utc = "16:30-00:30", input_cost_per_token = 0.0000001 }'
    ),
}
_FIELDS: Final[Mapping[str, _Known]] = {
    **_OURS,
    **_TABLES,
    "litellm_provider": _Known(check.name, '"azure"'),
    "mode": _Known(check.mode, '"chat"'),
    "max_tokens": _Known(check.limit, "4096"),
    "max_input_tokens": _Known(check.limit, "128000"),
    "max_output_tokens": _Known(check.limit, "4096"),
    "provider_specific_entry": _Known(check.uplifts, "{ us = 1.1 }"),
    "web_search_billing_unit": _Known(check.search_unit, '"per_query"'),
    **{field: _Known(check.flag, "true") for field in sorted(FLAGS)},
}
_EXAMPLES: Final = (
    *_FIELDS,
    *(f"{side}_cost_per_token_{tier}" for side in ("input", "output") for tier in TIERS),
    "input_cost_per_token",
    "output_cost_per_token",
    "output_cost_per_reasoning_token",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost",
    "cache_creation_input_token_cost_above_1hr",
    "input_cost_per_token_above_200k_tokens",
    "output_cost_per_token_above_200k_tokens",
    "input_cost_per_audio_token",
    "output_cost_per_audio_token",
    "input_cost_per_image",
    "output_cost_per_image",
    "input_cost_per_second",
    "output_cost_per_second",
    "input_cost_per_query",
    "ocr_cost_per_page",
)
"""What an unknown field is compared with: not all prices, but each of their kinds."""
