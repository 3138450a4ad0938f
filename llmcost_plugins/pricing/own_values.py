"""Checks of the values in a file of the user's own prices.

Each check returns what is wrong with a value; an empty string when nothing is.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from llmcost_plugins.pricing.currencies import CURRENCIES, DEAREST
from llmcost_plugins.pricing.keys import parse_key
from llmcost_plugins.pricing.maps import SEARCH_SIZES

Check = Callable[[object], str]

MODES: Final = (
    "chat",
    "completion",
    "responses",
    "embedding",
    "rerank",
    "image_generation",
    "image_edit",
    "video_generation",
    "audio_speech",
    "audio_transcription",
    "realtime",
    "moderation",
    "ocr",
    "search",
)
_SMALLEST, _LARGEST = -24, 9  # decimal exponents of what a price can be, in any currency
_HIGHEST_MULTIPLIER: Final = 10
_HOURS: Final = re.compile(r"(?:[01]?\d|2[0-3]):[0-5]\d-(?:[01]?\d|2[0-3]):[0-5]\d")
_UPLIFT: Final = re.compile(r"[a-z]{2}|fast")


def price(value: object) -> str:
    """Check a price."""
    number = _number(value)
    if number is None:
        return "it is not a number"
    if not number.is_finite() or number < 0:
        return "a price is a finite number that is not negative"
    if number and not _SMALLEST <= number.adjusted() <= _LARGEST:
        return "no price is that small or that large"
    return ""


def multiplier(value: object) -> str:
    """Check a multiplier of prices."""
    number = _number(value)
    if number is None or not number.is_finite() or not 0 < number <= _HIGHEST_MULTIPLIER:
        return f"it must be a number above 0 and at most {_HIGHEST_MULTIPLIER}"
    return ""


def discount(value: object) -> str:
    """Check a part of the price that is taken off."""
    number = _number(value)
    if number is None or not number.is_finite() or not 0 <= number < 1:
        return "it must be a number from 0 to below 1"
    return ""


def currency(value: object) -> str:
    """Check the code of a currency."""
    if isinstance(value, str) and value in CURRENCIES:
        return ""
    if isinstance(value, str) and value.strip().upper() in CURRENCIES:
        return f"it is written {value.strip().upper()!r}"
    return "it is no currency of ISO 4217"


def usd_rate(value: object) -> str:
    """Check the USD for one unit of a currency."""
    number = _number(value)
    if number is None or not number.is_finite() or number <= 0:
        return "it must be a number above 0"
    if number > DEAREST:
        return "no currency is worth that much; it is the USD for one unit of the currency"
    return "" if number.adjusted() >= _SMALLEST else "it is too small"


def instant(value: object) -> str:
    """Check a date or an instant."""
    try:
        read_instant(value)
    except (TypeError, ValueError, OverflowError):
        return "it is not a date of ISO 8601"
    return ""


def read_instant(value: object) -> datetime:
    """Read a date or an instant; without a time it is midnight, without a zone it is UTC.

    Raises:
        TypeError: it is something else.
        ValueError: its text is no date.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise TypeError
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def limit(value: object) -> str:
    """Check a number of tokens."""
    whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return "" if whole else "it must be a whole number above 0"


def flag(value: object) -> str:
    """Check an ability."""
    return "" if isinstance(value, bool) else "it must be true or false"


def name(value: object) -> str:
    """Check a name."""
    return "" if isinstance(value, str) and value.strip() else "it must be a name"


def mode(value: object) -> str:
    """Check what kind of model it is."""
    return "" if value in MODES else f"it must be one of {', '.join(MODES)}"


def search_unit(value: object) -> str:
    """Check what Google bills searches by."""
    return "" if value == "per_query" else "it must be 'per_query' or be left out"


def search_prices(value: object) -> str:
    """Check the prices of a web search by the size of its context."""
    return _first_wrong(value, lambda field: price if field in SEARCH_SIZES else None)


def uplifts(value: object) -> str:
    """Check multipliers by region, and of the fast mode."""
    return _first_wrong(value, lambda field: multiplier if _UPLIFT.fullmatch(field) else None)


def bands(value: object) -> str:
    """Check prices by prompt length."""
    if not isinstance(value, list) or not value:
        return "it must be a list of tables"
    for band in value:
        wrong = _first_wrong(band, lambda f: _token_range if f == "range" else _price_of(f))
        if wrong:
            return wrong
        if not {"range", "input_cost_per_token"} <= band.keys():
            return "each band needs a range and input_cost_per_token"
    return ""


def off_peak(value: object) -> str:
    """Check the prices of cheaper hours."""
    checks: Mapping[str, Check] = {
        "hours_utc": _hours,
        "weekday_timezone": _zone,
        "windows": _windows,
    }
    wrong = _first_wrong(value, lambda field: checks.get(field) or _price_of(field))
    if not wrong and isinstance(value, Mapping) and not value.keys() & {"hours_utc", "windows"}:
        return "it needs hours_utc or windows"
    return wrong


def _windows(value: object) -> str:
    if not isinstance(value, list) or not value:
        return "it must be a list of tables"
    checks = {"hours_utc": _hours, "weekdays": _weekdays}
    for window in value:
        wrong = _first_wrong(window, checks.get)
        if wrong:
            return wrong
        if "hours_utc" not in window:
            return "each window needs hours_utc"
    return ""


def _hours(value: object) -> str:
    texts = [value] if isinstance(value, str) else value
    good = isinstance(texts, list) and all(
        isinstance(text, str) and _HOURS.fullmatch(text) for text in texts
    )
    return "" if good and texts else "hours are written '16:30-00:30'"


def _weekdays(value: object) -> str:
    good = isinstance(value, list) and all(day in range(1, 8) for day in value)
    return "" if good else "weekdays are numbers from 1 (Monday) to 7"


def _zone(value: object) -> str:
    try:
        ZoneInfo(str(value))
    except (KeyError, ValueError, OSError):
        return "no such time zone"
    return ""


def _token_range(value: object) -> str:
    if isinstance(value, list) and len(value) == 2:  # noqa: PLR2004 - from, to
        start, end = value
        if not limit(end) and (start == 0 or not limit(start)) and start < end:
            return ""
    return "a range is two whole numbers of tokens, the smaller one first"


def _price_of(field: str) -> Check | None:
    key = parse_key(field)
    return None if key is None or key.threshold or key.tier else price


def _first_wrong(value: object, check_of: Callable[[str], Check | None]) -> str:
    """Return the first thing that is wrong in a table."""
    if not isinstance(value, Mapping) or not value:
        return "it must be a table"
    for field, content in value.items():
        check = check_of(field)
        if check is None:
            return f"there is no field {field!r} in it"
        if wrong := check(content):
            return f"its {field} = {shown(content)}: {wrong}"
    return ""


def shown(value: object) -> str:
    """Write a value for people."""
    return str(value) if isinstance(value, Decimal | date) else repr(value)


def _number(value: object) -> Decimal | None:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    return None
