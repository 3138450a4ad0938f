"""The output cap of a call whose caller has set none: how far it may be lowered to fit a budget."""

from dataclasses import replace
from typing import Final, Protocol

from llmcost_plugins.calls import CallSpec
from llmcost_plugins.errors import BudgetExceeded, Refusal

SHORTEST_CAP: Final = 256
"""An answer is never capped below this many tokens to fit a budget."""


class Buyer(Protocol):
    """Knows what budgets buy and how long answers are: a `CostTracker`."""

    def affordable_cap(self, spec: CallSpec, refusal: Refusal) -> int:
        """Return the longest answer that a bucket which refused would take."""

    def usual_answer(self, spec: CallSpec) -> int | None:
        """Return the length that most answers do not exceed, once it is known."""


def shorter_cap(buyer: Buyer, spec: CallSpec, refusal: Refusal, *, is_last: bool) -> int | None:
    """Return the longest answer, in tokens per choice, that the budget still buys.

    `None` where such an answer is of no use, or the budget does not count by length.

    Args:
        buyer: whom to ask.
        spec: the call that was refused, with the cap that is ours to lower.
        refusal: what refused it.
        is_last: whether no other model could answer instead.
    """
    if refusal.unit == "requests":
        return None
    cap = buyer.affordable_cap(spec, refusal)
    floor = SHORTEST_CAP
    if not is_last:
        # Another model would rather answer in full than this one be cut off.
        floor = max(floor, buyer.usual_answer(spec) or 0)
    return cap if floor <= cap < (spec.size.output_cap or 0) else None


def first_try(spec: CallSpec) -> CallSpec:
    """Return the call as it is held first: no refusal is recorded while a shorter one may fit."""
    return replace(spec, has_alternative=True) if spec.cap_is_ours else spec


def second_try(buyer: Buyer, spec: CallSpec, error: BudgetExceeded, *, is_last: bool) -> CallSpec:
    """Return the call to hold for after a refusal: a shorter one, if that is what fits.

    Args:
        buyer: whom to ask.
        spec: the call, as it was before `first_try`.
        error: what refused it.
        is_last: whether no other model could answer instead.

    Raises:
        BudgetExceeded: there is none; *error* itself.
    """
    if not spec.cap_is_ours:
        raise error
    cap = shorter_cap(buyer, spec, error.refusal, is_last=is_last)
    if cap is not None:
        return replace(spec, size=replace(spec.size, output_cap=cap), may_wait=False)
    if spec.has_alternative:
        raise error
    # The same again, for the record: this refusal is the last word.
    return replace(spec, may_wait=False)
