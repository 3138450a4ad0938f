"""Exact US dollars.

Two integer units, no floats: **nano-dollars** (1e-9 USD) wherever money is stored, summed or
compared, and **fine units** (1e-24 USD) inside the calculator, where token prices such as 1.3e-10
USD are still whole numbers. A cost is rounded once per call, from fine units to nano-dollars.

Decimal is used at the surface only: its arithmetic depends on the caller's context (precision 6
silently rounds), and it is slower than integers.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final

NANO_PER_USD: Final = 10**9
FINE_PER_USD: Final = 10**24
FINE_PER_NANO: Final = FINE_PER_USD // NANO_PER_USD

# Price maps carry float noise such as 2.9999900000000002e-06; 12 significant digits keep every
# published price and drop the noise.
_PRICE_DIGITS: Final = Context(prec=12)
_WIDE: Final = Context(prec=60)
_SMALLEST_EXPONENT: Final = -9
_LARGEST_EXPONENT: Final = 15


def usd_to_nano(amount: Decimal | str | int) -> int:
    """Convert USD to nano-dollars exactly.

    Raises:
        ArithmeticError: *amount* is not a finite number, finer than 1e-9 USD, or a float.
    """
    if isinstance(amount, float):  # what users get wrong
        msg = f"{amount!r} is a float, which has no exact value; write it as '{amount}'"
        raise ArithmeticError(msg)  # noqa: TRY004 - as for all that is no amount
    try:
        value = Decimal(amount)
    except InvalidOperation:
        msg = f"{amount!r} is not an amount of money in USD, such as '12.50'"
        raise ArithmeticError(msg) from None
    if not value.is_finite():
        msg = f"{amount!r} is not a finite amount of money"
        raise ArithmeticError(msg)
    if value and not _SMALLEST_EXPONENT <= value.adjusted() <= _LARGEST_EXPONENT:
        # Asked first: 1e999999 written out would keep the processor busy for a while.
        size = "large" if value.adjusted() > 0 else "small"
        msg = f"{amount!r} is too {size} to be counted in nano-dollars (0.000000001 USD)"
        raise ArithmeticError(msg)
    numerator, denominator = value.as_integer_ratio()
    nano, rest = divmod(numerator * NANO_PER_USD, denominator)
    if rest:
        msg = f"{amount!r} is finer than a nano-dollar (0.000000001 USD)"
        raise ArithmeticError(msg)
    return nano


def round_to_nano(amount: Decimal) -> int:
    """Round an amount in USD that someone else states to nano-dollars, half to even.

    Raises:
        ArithmeticError: *amount* is not a finite number, or beyond what can be counted.
    """
    if not amount.is_finite() or amount.adjusted() > _LARGEST_EXPONENT:
        msg = f"{str(amount)!r} is not an amount of money that can be counted"
        raise ArithmeticError(msg)
    return int(amount.scaleb(9, _WIDE).to_integral_value(ROUND_HALF_EVEN))


def nano_to_usd(nano: int) -> Decimal:
    """Convert nano-dollars to USD exactly, without trailing zeros."""
    return Decimal(usd_string(nano))


def rate_to_fine(price: float | Decimal | str) -> int:
    """Convert a price in USD per unit, as a price map states it, to fine units per unit.

    Floats are read by their shortest decimal form and rounded to 12 significant digits.
    """
    value = _PRICE_DIGITS.create_decimal(repr(price) if isinstance(price, float) else str(price))
    return int(_WIDE.multiply(value, Decimal(FINE_PER_USD)))


def settle_nano(fine: int) -> int:
    """Round a true cost from fine units to nano-dollars, half to even."""
    nano, rest = divmod(fine, FINE_PER_NANO)
    twice = 2 * rest
    return nano + (twice > FINE_PER_NANO or (twice == FINE_PER_NANO and nano % 2 == 1))


def hold_nano(fine: int) -> int:
    """Round an estimate from fine units to nano-dollars, upwards: a hold never falls short."""
    return -(-fine // FINE_PER_NANO)


def format_usd(nano: int) -> str:
    """Show nano-dollars for people: two decimals from one dollar on, else what matters.

    Two significant digits are kept below a cent, so that no positive amount reads as zero.
    """
    sign = "-" if nano < 0 else ""
    amount = abs(nano)
    if amount == 0 or amount >= NANO_PER_USD:
        decimals = 2
    else:
        leading_zeros = 9 - len(str(amount))
        decimals = min(9, max(4, leading_zeros + 2))
    unit = 10 ** (9 - decimals)
    rounded = (amount + unit // 2) // unit
    whole, fraction = divmod(rounded, 10**decimals)
    return f"{sign}${whole:,}.{fraction:0{decimals}d}"


def format_count(count: int, unit: str) -> str:
    """Show what a budget counts: money as `format_usd` does, else a number with its unit."""
    return format_usd(count) if unit == "usd" else f"{count:,} {unit}"


def usd_string(nano: int) -> str:
    """Write nano-dollars as a plain decimal string for JSON and CSV, e.g. ``0.00012``."""
    whole, fraction = divmod(abs(nano), NANO_PER_USD)
    text = f"{'-' if nano < 0 else ''}{whole}.{fraction:09d}"
    return text.rstrip("0").rstrip(".")


def count_string(count: int, unit: str) -> str:
    """Write what a budget counts as a plain number: money as `usd_string` does, else as it is."""
    return usd_string(count) if unit == "usd" else str(count)
