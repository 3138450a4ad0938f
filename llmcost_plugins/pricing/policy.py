"""What happens under a budget to a model without a known price."""

from typing import Final, NamedTuple

from llmcost_plugins.money import usd_to_nano


class UnknownModelPolicy(NamedTuple):
    """What happens to a call under a budget whose model has no known price.

    Attributes:
        refuse: the call raises `PriceUnknown`.
        ceiling: otherwise, nano-dollars per million input and output tokens to count with;
            (0, 0) lets such calls pass uncounted.
    """

    refuse: bool
    ceiling: tuple[int, int]


REFUSE: Final = UnknownModelPolicy(refuse=True, ceiling=(0, 0))


def parse_unknown_model(text: str) -> UnknownModelPolicy:
    """Read ``refuse``, ``free`` or ``ceiling:INPUT,OUTPUT`` (USD per million tokens).

    Raises:
        ValueError: *text* is none of them.
    """
    if text == "refuse":
        return REFUSE
    if text == "free":
        return UnknownModelPolicy(refuse=False, ceiling=(0, 0))
    word, _, prices = text.partition(":")
    parts = prices.split(",")
    if word == "ceiling" and len(parts) == 2:  # noqa: PLR2004 - input and output
        try:
            into, out = (usd_to_nano(part.strip()) for part in parts)
        except ArithmeticError as error:
            raise ValueError(str(error)) from None
        if into > 0 and out > 0:
            return UnknownModelPolicy(refuse=False, ceiling=(into, out))
    msg = "it must be 'refuse', 'free' or 'ceiling:INPUT,OUTPUT' in USD per million tokens"
    raise ValueError(msg)
