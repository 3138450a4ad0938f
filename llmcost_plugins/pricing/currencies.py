"""The codes of the world's currencies, and amounts in one of them."""

from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final

_CODES: Final = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD
CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD
KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO
NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE
SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND
VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES: Final = frozenset(_CODES.split())
"""The three letters of ISO 4217 for every currency that is in use."""

DEAREST: Final = 5
"""USD for one unit of a currency: none is worth that much (the Kuwaiti dinar takes about 3.3)."""

_EXACT: Final = Context(prec=60, traps=[Inexact, InvalidOperation])
_MOST_DIGITS: Final = 12
_CHEAPEST: Final = 10**9
_EXAMPLE: Final = "a good value is 'CNY:7.12'"


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency that amounts are shown in, at a rate that the user states.

    Attributes:
        code: its three letters.
        per_usd: how many units one USD is worth.
    """

    code: str
    per_usd: Decimal

    def of(self, usd: Decimal) -> Decimal:
        """Convert an amount exactly, whatever the caller's decimal context."""
        return _EXACT.multiply(usd, self.per_usd)

    def string_of(self, usd: Decimal) -> str:
        """Write an amount in this currency as a plain decimal string, exactly."""
        text = f"{self.of(usd):f}"
        return text.rstrip("0").rstrip(".") if "." in text else text


def read_currency(text: str) -> Currency:
    """Read a currency and its rate, e.g. ``CNY:7.12``: 7.12 yuan for one USD.

    Raises:
        ValueError: it is none, with what is wrong.
    """
    code, _, rate = text.partition(":")
    code = code.strip().upper()
    if code not in CURRENCIES:
        msg = f"{code!r} is no currency's code; {_EXAMPLE}"
        raise ValueError(msg)
    if code == "USD":
        msg = f"amounts are in USD anyway; leave it empty, or state another: {_EXAMPLE}"
        raise ValueError(msg)
    try:
        per_usd = Decimal(rate.strip())
    except InvalidOperation:
        msg = f"{rate.strip()!r} is no rate, {code} for one USD; {_EXAMPLE}"
        raise ValueError(msg) from None
    if not per_usd.is_finite() or not Decimal(1) / DEAREST <= per_usd < _CHEAPEST:
        msg = f"{rate.strip()!r} cannot be the rate, {code} for one USD; {_EXAMPLE}"
        raise ValueError(msg)
    if len(per_usd.as_tuple().digits) > _MOST_DIGITS:
        msg = f"the rate {rate.strip()!r} has more than {_MOST_DIGITS} digits; {_EXAMPLE}"
        raise ValueError(msg)
    return Currency(code, per_usd)
