"""The output cap of a call whose caller has set none: how far it may be lowered to fit a budget."""

from typing import Final, Protocol

from llmcost_plugins.calls import CallSpec
from llmcost_plugins.errors import Refusal

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
