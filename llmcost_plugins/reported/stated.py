"""What a report says that the call costs, in exact US dollars."""

from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

from llmcost_plugins.reported.fields import Fields, fields_of, first, is_said, lacks, shown, word

_HEADER: Final = "x-litellm-response-cost"
_IN_USAGE: Final = frozenset({"cost", "cost_in_usd_ticks"})
_IN_ANSWER: Final = frozenset({"_hidden_params", "response_cost", "headers", "_response_headers"})
_MOST: Final = 10**6
_FINEST: Final = -24
"""No call costs more than a million dollars, or less than a fine unit unless it is free."""
_LONGEST: Final = 40
_TICKS: Final = 10
"""Decimal places: 10**10 of xAI's ticks are a dollar."""
_WIDE: Final = Context(prec=60)


def read_cost(usage: Fields, whole: Fields, notes: list[str]) -> Decimal | None:
    """Return what a provider or a proxy states as the cost in USD; `None` where nothing is said.

    Read in this order: xAI's ticks, ``usage.cost`` (OpenRouter, Perplexity, LiteLLM), LiteLLM's
    ``response_cost`` and its header. LiteLLM's 0 is none: it says so of models it has no price for.

    Args:
        usage: the report.
        whole: the answer that it is a part of.
        notes: gets a line for what is stated and cannot be.
    """
    if lacks(usage, _IN_USAGE) and lacks(whole, _IN_ANSWER):
        return None
    ticks = usage.get("cost_in_usd_ticks")
    if ticks is not None and (amount := _dollars(ticks, notes, places=_TICKS)) is not None:
        return amount
    cost = usage.get("cost")
    if cost is not None and (amount := _own_cost(cost, usage, notes)) is not None:
        return amount
    cost = fields_of(whole.get("_hidden_params")).get("response_cost")
    if cost is None:
        cost = whole.get("response_cost")
    if cost is None and (headers := first(whole, "headers", "_response_headers")) is not None:
        cost = fields_of(headers).get(_HEADER)
    return None if cost is None else _dollars(cost, notes) or None


def _own_cost(cost: Any, usage: Fields, notes: list[str]) -> Decimal | None:
    parts = fields_of(cost)
    total = parts.get("total_cost")
    if total is not None:
        currency = word(parts.get("currency"))
        if currency in {"", "usd"}:
            return _dollars(total, notes)
        notes.append(f"a cost stated in {shown(currency)} was ignored")
        return None
    amount = _dollars(cost, notes)
    if amount is None or usage.get("is_byok") is not True:
        return amount
    # With a key of the user's own the cost is OpenRouter's fee, and the rest is paid elsewhere.
    upstream = fields_of(usage.get("cost_details")).get("upstream_inference_cost")
    more = None if upstream is None else _dollars(upstream, notes)
    return amount if more is None else _WIDE.add(amount, more)


def _dollars(value: Any, notes: list[str], places: int = 0) -> Decimal | None:
    """Read an amount by its shortest decimal form; `None`, and a note, if it cannot be a cost."""
    amount = _decimal(value)
    if amount is not None and amount.is_finite():
        amount = amount.scaleb(-places, _WIDE) if places else amount
        if amount == 0 or (0 < amount <= _MOST and amount.adjusted() >= _FINEST):
            return amount.copy_abs()  # abs() would round as the caller's context says
    if is_said(value) or isinstance(value, Decimal):
        notes.append(f"a stated cost of {shown(value)} was ignored")
    return None


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return Decimal(float.__repr__(value))
    if isinstance(value, int | Decimal):
        return Decimal(value)
    if isinstance(value, str) and len(value) <= _LONGEST:
        try:
            return Decimal(value)
        except InvalidOperation:
            return None
    return None
