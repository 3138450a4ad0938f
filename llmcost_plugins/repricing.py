"""What recorded calls cost by the prices of today's catalog, and corrections that say so.

An entry is never edited: a correction is a new one that names it. By default only calls that had no
price when they were made are looked at, because a price that has changed since was right then.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from llmcost_plugins.ledger import Entry, Ledger, Outcome, Status, original_id
from llmcost_plugins.money import format_usd, settle_nano
from llmcost_plugins.pricing import Catalog, Cost, Match, cost_of
from llmcost_plugins.pricing.resolution import Resolution
from llmcost_plugins.usage import Trust, Usage

_PRICED_ANEW: Final = frozenset({Status.OK, Status.ABORTED, Status.ERROR, Status.CORRECTION})


@dataclass(frozen=True, slots=True)
class Repricing:
    """One call that costs another amount by the catalog.

    Attributes:
        entry: the call as it was recorded.
        recorded: what the ledger says that it cost, earlier repricings included; nano-dollars.
        correction: how the new entry would read; its cost is the difference.
    """

    entry: Entry
    recorded: int
    correction: Outcome


class _Standing(NamedTuple):
    """What earlier repricings have made of a call."""

    change: int
    trust: Trust


def reprice(  # noqa: PLR0913 - keyword-only filters with defaults
    ledger: Ledger,
    catalog: Catalog,
    *,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    everything: bool = False,
) -> Iterator[Repricing]:
    """Yield the calls whose cost differs by the catalog, oldest first. Changes nothing.

    Args:
        ledger: where the calls are recorded.
        catalog: the prices.
        now: when the corrections would be written.
        since: the first accounting time.
        until: the accounting time after the last.
        everything: whether to look at calls that had a price, too.
    """
    earlier = _earlier_repricings(ledger, since, until)
    for entry in ledger.entries(since=since, until=until):
        if not _is_usage(entry):
            continue
        trust = entry.outcome.usage.trust
        standing = earlier.get(entry.call.id, _Standing(0, trust))
        if not everything and standing.trust is not Trust.UNPRICED:
            continue
        proposed = _proposal(entry, standing, catalog, now)
        if proposed is not None:
            yield proposed


def apply(ledger: Ledger, repricings: Iterator[Repricing]) -> Iterator[Repricing]:
    """Write the corrections, one atomic step each; yield those that were written."""
    for one in repricings:
        if ledger.correct(one.entry, one.correction):
            yield one


def _earlier_repricings(
    ledger: Ledger, since: datetime | None, until: datetime | None
) -> dict[str, _Standing]:
    # A correction has the accounting time of its call, so the same span holds both.
    found: dict[str, _Standing] = {}
    for entry in ledger.entries(since=since, until=until):
        call = original_id(entry.call.id)
        if call != entry.call.id:
            change = found[call].change if call in found else 0
            done = entry.outcome
            found[call] = _Standing(change + done.cost, done.usage.trust)
    return found


def _is_usage(entry: Entry) -> bool:
    done = entry.outcome
    if done.status not in _PRICED_ANEW or original_id(entry.call.id) != entry.call.id:
        return False
    if not done.usage.counts():
        return False
    # A cost that the provider has stated, or a ceiling price, has no lines and stays as it is.
    return bool(done.lines) or done.usage.trust is Trust.UNPRICED


def _proposal(
    entry: Entry, standing: _Standing, catalog: Catalog, now: datetime
) -> Repricing | None:
    call, done = entry.call, entry.outcome
    match, cost = _cost_today(entry, catalog)
    if cost is None:
        return None
    recorded = settle_nano(sum(line.amount for line in done.lines)) + standing.change
    trust = _trust(done.usage, match, cost)
    resolved = standing.trust is Trust.UNPRICED and trust is not Trust.UNPRICED
    if cost.nano == recorded and not resolved:
        return None
    correction = Outcome(
        status=Status.CORRECTION,
        usage=Usage(trust=trust),  # the tokens are counted with the entry
        cost=cost.nano - recorded,
        finished_at=now,
        served=done.served,
        fingerprint=catalog.fingerprint,
        detail=f"{call.id} repriced from {format_usd(recorded)} to {format_usd(cost.nano)}",
        lines=cost.lines,
        mends=standing.trust,
    )
    return Repricing(entry, recorded, correction)


def resolved(catalog: Catalog, served: str | None, requested: str, provider: str) -> Resolution:
    """Find the prices of a recorded call: those of the model that was served where that is sure."""
    if served:
        found = catalog.resolve(served, provider)
        if found.prices is not None and (found.match.is_certain or served == requested):
            return found
    return catalog.resolve(requested, provider)


def _cost_today(entry: Entry, catalog: Catalog) -> tuple[Match, Cost | None]:
    call, done = entry.call, entry.outcome
    found = resolved(catalog, done.served, call.requested, call.provider)
    if found.prices is None:
        return Match.UNKNOWN, None
    return found.match, cost_of(done.usage, found.prices, call.at)


def _trust(usage: Usage, match: Match, cost: Cost) -> Trust:
    if cost.unpriced:
        return Trust.UNPRICED
    counted = Trust.PROVIDER if usage.trust is Trust.UNPRICED else usage.trust
    exact = match.is_certain or counted is not Trust.PROVIDER
    return counted if exact else Trust.ESTIMATED
