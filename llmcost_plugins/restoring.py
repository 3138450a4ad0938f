"""Entries of another ledger, written into this one so that its sums come out the same."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from llmcost_plugins.budgets import Bucket
from llmcost_plugins.ledger import Call, Entry, Ledger, Outcome, Status, original_id
from llmcost_plugins.money import settle_nano

_NEXT_INSTANT: Final = timedelta(microseconds=1)


def counted(call: Call, buckets: Sequence[Bucket]) -> list[Bucket]:
    """Return the buckets that a call made elsewhere counts in.

    One that belongs to no run is its own run: a limit of runs says nothing about it, and would
    leave a bucket for each.
    """
    return [bucket for bucket in buckets if bucket.match.get("run") != call.id]


def restore(ledger: Ledger, entry: Entry, buckets: Sequence[Bucket]) -> bool | None:
    """Write an entry of another ledger as it is.

    Args:
        ledger: where to.
        entry: the entry.
        buckets: what a call is charged to. A correction changes the buckets of its call.

    Returns:
        False when it is in the ledger already. `None` when the ledger cannot have it exactly: a
        refusal, which belongs to budgets that were in force there, or a correction of what is not
        here, or is not here as it was there.

    Raises:
        LedgerUnavailable: it could not be written.
    """
    status = entry.outcome.status
    if status is Status.REFUSED:
        return None
    if status is not Status.CORRECTION:
        return ledger.record(entry.call, entry.outcome, buckets)
    return _corrected(ledger, entry)


def _corrected(ledger: Ledger, entry: Entry) -> bool | None:
    call, outcome = entry.call, entry.outcome
    first = original_id(call.id)
    # A correction has the accounting time of its call.
    family = [
        one
        for one in ledger.entries(since=call.at, until=call.at + _NEXT_INSTANT)
        if original_id(one.call.id) == first
    ]
    if any(one.call.id == call.id and one.outcome.status is Status.CORRECTION for one in family):
        return False
    original = next((one for one in family if one.outcome.status is not Status.CORRECTION), None)
    if original is None or not _fits(outcome, family):
        return None
    if first != call.id:
        return ledger.correct(original, outcome)
    return _found_again(ledger, original, outcome)


def _fits(outcome: Outcome, family: Sequence[Entry]) -> bool:
    """Tell whether the difference leads to the true cost from what stands here, too."""
    if not outcome.lines:
        return len(family) == 1
    true = settle_nano(sum(line.amount for line in outcome.lines))
    return sum(one.outcome.cost for one in family) + outcome.cost == true


def _found_again(ledger: Ledger, original: Entry, outcome: Outcome) -> bool | None:
    """Settle a lost call late, which writes the correction."""
    before = original.outcome
    if before.status is not Status.LOST or outcome.mends is not before.usage.trust:
        return None
    word = outcome.detail.partition(" ")[0]
    ended = next((status for status in Status if status == word), None)
    if ended is None:
        return None
    true = replace(outcome, status=ended, cost=before.cost + outcome.cost, mends=None)
    return ledger.settle(original.call, true) is not None
