"""How reports say amounts, shares and spans of time to people."""

from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Final

from llmcost_plugins.money import format_usd, round_to_nano, usd_string, usd_to_nano
from llmcost_plugins.periods import Window
from llmcost_plugins.pricing.currencies import Currency

_JOINERS: Final = frozenset("\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")


def span_in_words(span: Window, zone: tzinfo) -> str:
    """Return the span as a title says it, e.g. ``since 2026-11-01 until 2026-12-01 (UTC)``."""

    def day(instant: datetime) -> str:
        text = instant.astimezone(zone).strftime("%Y-%m-%d %H:%M")
        return text.removesuffix(" 00:00")

    since = f"since {day(span.start)} " if span.start else ""
    until = f"until {day(span.end)} " if span.end else ""
    return f"{since}{until}({zone})" if since or until else "of all time"


def money_text(usd: Decimal, currency: Currency | None) -> str:
    """Return an amount as `format_usd` shows it, in *currency* if there is one."""
    if currency is None:
        return format_usd(usd_to_nano(usd))
    amount = format_usd(round_to_nano(currency.of(usd))).replace("$", "")
    return f"{amount} {currency.code}"


def money_record(
    name: str, usd: Decimal | None, currency: Currency | None
) -> dict[str, str | None]:
    """Return an amount as programs read it: exactly, in USD and in *currency* if there is one."""
    found = {f"{name}_usd": None if usd is None else usd_string(usd_to_nano(usd))}
    if currency is not None:
        shown = None if usd is None else currency.string_of(usd)
        found[f"{name}_{currency.code.lower()}"] = shown
    return found


def currency_record(currency: Currency | None) -> dict[str, str] | None:
    """Return a currency and its rate as programs read them."""
    if currency is None:
        return None
    return {"code": currency.code, "per_usd": f"{currency.per_usd:f}"}


def rate_text(currency: Currency) -> str:
    """Say what amounts are in."""
    return f"amounts in {currency.code}, at {currency.per_usd:f} for 1 USD as stated"


def percent(share: Decimal) -> str:
    """Return a part of 1 as a percentage."""
    # One call in a million is not none.
    return f"{share:.1%}" if share else "0%"


def change_text(now: Decimal, before: Decimal) -> str:
    """Return by how much an amount has grown, which was above 0."""
    return f"{(now - before) / before:+.0%}"


def printable(text: str) -> str:
    """Return a text whose characters do nothing but show, which a label need not be.

    What turns the direction of writing or moves a cursor is replaced; what joins the parts of an
    emoji is not.
    """
    return "".join(
        one if one.isprintable() or one in _JOINERS else "\N{REPLACEMENT CHARACTER}" for one in text
    )
