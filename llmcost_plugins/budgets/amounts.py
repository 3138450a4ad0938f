"""What budgets count, and how much of it."""

import re
from decimal import Decimal
from enum import StrEnum
from typing import Final

from llmcost_plugins.budgets.choices import parse_choice
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.money import NANO_PER_USD, nano_to_usd, usd_to_nano

_AMOUNT: Final = re.compile(
    r"(?P<number>[^a-zA-Z\s]+)\s*(?P<factor>[kKMG]?)\s*(?P<unit>tokens|requests)?"
)
_FACTORS: Final = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}
_LARGEST: Final = 2**62


class Unit(StrEnum):
    """What a budget counts."""

    USD = "usd"
    """Money; counted in nano-dollars."""
    TOKENS = "tokens"
    """Tokens of prompts and answers."""
    REQUESTS = "requests"
    """Calls that were sent to a provider."""


def amount_of(count: int, unit: Unit) -> Decimal:
    """Return a count of the ledger in USD, tokens or requests."""
    return nano_to_usd(count) if unit is Unit.USD else Decimal(count)


def parse_limit(
    limit: Decimal | str | int, unit: Unit | str | None, scope: str
) -> tuple[Unit, int]:
    """Return what is counted, and the limit as the ledger counts it.

    Raises:
        ConfigurationError: it is no amount, or none that *unit* counts; the message names *scope*.
    """
    if isinstance(limit, bool) or not isinstance(limit, Decimal | str | int | float):
        msg = f"the limit {limit!r} of the budget {scope!r} is not an amount in USD such as '12.50'"
        raise ConfigurationError(msg)
    if isinstance(limit, float):
        msg = f"the limit {limit!r} of the budget {scope!r} is a float; write it as '{limit}'"
        raise ConfigurationError(msg)
    known = None if unit is None else parse_choice(Unit, unit, f"the unit of the budget {scope!r}")
    number, factor, named = _split_amount(limit)
    if named and known not in {None, named}:
        msg = f"the budget {scope!r} counts {str(limit)!r} and says that its unit is {str(unit)!r}"
        raise ConfigurationError(msg)
    counted = named or known or Unit.USD
    if counted is Unit.USD and factor != 1:
        msg = f"the limit {limit!r} of the budget {scope!r}: write out an amount of money"
        raise ConfigurationError(msg)
    count = _count(number, factor, counted, f"the limit of the budget {scope!r}")
    if count < 0:
        msg = (
            f"the limit {str(limit)!r} of the budget {scope!r} is negative; use 0 to stop all calls"
        )
        raise ConfigurationError(msg)
    if count >= _LARGEST:
        msg = f"the limit {str(limit)!r} of the budget {scope!r} is beyond what the ledger can hold"
        raise ConfigurationError(msg)
    return counted, count


def _split_amount(limit: Decimal | str | int) -> tuple[Decimal | str | int, int, Unit | None]:
    parsed = _AMOUNT.fullmatch(limit.strip()) if isinstance(limit, str) else None
    if parsed is None or not (parsed["factor"] or parsed["unit"]):
        return limit, 1, None
    unit = Unit(parsed["unit"]) if parsed["unit"] else None
    return parsed["number"], _FACTORS[parsed["factor"]], unit


def _count(number: Decimal | str | int, factor: int, unit: Unit, what: str) -> int:
    try:
        nano = usd_to_nano(number)
    except ArithmeticError as error:
        msg = f"{what}: {error}"
        raise ConfigurationError(msg) from None
    if unit is Unit.USD:
        return nano
    count, rest = divmod(nano * factor, NANO_PER_USD)
    if rest:
        msg = f"{what} is {str(number)!r} {unit}, which is no whole number"
        raise ConfigurationError(msg)
    return count


def parse_share(share: Decimal | str | float, what: str) -> Decimal:
    """Read a part of a limit, above 0 and up to 1.

    Raises:
        ConfigurationError: it is none; the message names *what* it was for.
    """
    try:
        value = Decimal(repr(share) if isinstance(share, float) else str(share))
    except ArithmeticError:
        value = Decimal("NaN")
    if isinstance(share, bool) or value.is_nan() or not 0 < value <= 1:
        msg = f"{what} is {share!r}; it must be a part of the limit, such as 0.8"
        raise ConfigurationError(msg)
    return value
