"""What a ledger is: the store of entries, buckets and holds, and the verbs it answers to.

Each verb is one atomic step. Money is in nano-dollars (1e-9 USD), instants are aware datetimes, and
both the clock and the ids are the caller's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

from llmcost_plugins.budgets import Bucket, Budget, BudgetKey, Unit
from llmcost_plugins.errors import Refusal
from llmcost_plugins.labels import Labels
from llmcost_plugins.periods import Period
from llmcost_plugins.pricing.cost import Line
from llmcost_plugins.usage import Trust, Usage


class Status(StrEnum):
    """How a call ended."""

    OK = "ok"
    CACHED = "cached"
    ABORTED = "aborted"
    ERROR = "error"
    LOST = "lost"
    REFUSED = "refused"
    CORRECTION = "correction"


NO_CALL: Final = frozenset({Status.REFUSED, Status.CORRECTION})
"""How entries end that stand for no call."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of a call before it is made.

    Attributes:
        id: made by the caller; a second hold or settle with the same id is the same one.
        at: its accounting time: when it was held.
        model: the catalog's canonical key of the requested model.
        requested: the model's name as requested.
        provider: the provider's name.
        labels: who caused it.
        run: the outermost run that it belongs to.
    """

    id: str
    at: datetime
    model: str
    requested: str
    provider: str
    labels: Labels
    run: str


class Charge(NamedTuple):
    """What a call takes from budgets: of each only what it counts.

    Attributes:
        usd: nano-dollars.
        tokens: tokens of the prompt and the answer.
        requests: 1 for a call that is sent to a provider.
    """

    usd: int
    tokens: int = 0
    requests: int = 1

    def of(self, unit: Unit) -> int:
        """Return the part that a budget of that unit counts."""
        if unit is Unit.USD:
            return self.usd
        return self.tokens if unit is Unit.TOKENS else self.requests


@dataclass(frozen=True, slots=True)
class Hold:
    """What is to be set aside for a call.

    Attributes:
        call: the call.
        charge: the most that it can take.
        buckets: all that the call touches.
        lease_until: when the hold counts as lost unless it was settled or released.
        owner: the host and process that hold it, for people.
    """

    call: Call
    charge: Charge
    buckets: Sequence[Bucket]
    lease_until: datetime
    owner: str


@dataclass(frozen=True, slots=True)
class HoldResult:
    """What became of a hold.

    Attributes:
        refusal: why it was refused; `None` when it was granted in every bucket.
        warnings: buckets over their limit whose budget only warns.
    """

    refusal: Refusal | None = None
    warnings: Sequence[Refusal] = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """What has become of the buckets of a call that was settled.

    Attributes:
        spent: bucket key to what is spent there now, in what its budget counts.
    """

    spent: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class OpenHold:
    """A hold in the ledger, for people.

    Attributes:
        call: the call.
        charge: what is held for it.
        buckets: bucket key to what is held there.
        lease_until: when it counts as lost.
        owner: the host and process that hold it.
    """

    call: Call
    charge: Charge
    buckets: Mapping[str, int]
    lease_until: datetime
    owner: str


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the audit: who changed a budget, or erased something, and when.

    Attributes:
        at: when.
        who: the user of the machine, or the name that was given.
        what: what was changed, e.g. a budget's scope and period.
        before: how it was; empty for nothing.
        after: how it is; empty for nothing.
    """

    at: datetime
    who: str
    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that is told over the network once it was claimed, at least once.

    Attributes:
        bucket: the key of the bucket that it is about.
        threshold: what that has reached; with *bucket* the alert's identity.
        at: when.
        payload: what is sent, a JSON object.
        due_at: before then nobody else tries to send it.
        tries: how often that was tried.
        sent_at: when it was sent; `None` while it waits.
        failure: why the last try has failed.
    """

    bucket: str
    threshold: str
    at: datetime
    payload: str
    due_at: datetime
    tries: int = 0
    sent_at: datetime | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended and what it cost.

    Attributes:
        status: how it ended.
        usage: what it used, with the trust in that.
        cost: nano-dollars.
        finished_at: when.
        served: the model's name as the provider reported it.
        saved: nano-dollars not spent thanks to a cache hit.
        preferred_model: the model a router would rather have used.
        preferred_cost: what the same usage would have cost there, in nano-dollars.
        fingerprint: the catalog that the prices were taken from.
        detail: an error's text, or what is worth knowing.
        lines: how *cost* (or *saved*, for a cache hit) came about: each meter's quantity and price,
            so that it can be computed again without any catalog. Of a correction, the lines of the
            whole true cost, of which *cost* is the difference.
        mends: of a correction, the trust of the entry that it corrects.
    """

    status: Status
    usage: Usage
    cost: int
    finished_at: datetime
    served: str | None = None
    saved: int = 0
    preferred_model: str | None = None
    preferred_cost: int | None = None
    fingerprint: str = ""
    detail: str = ""
    lines: Sequence[Line] = ()
    mends: Trust | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """What finished calls have shown of a model's tokenizer.

    Attributes:
        ratio: the most prompt tokens per million units of measure.
        seen: how many calls told.
    """

    ratio: int
    seen: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: a call and its outcome. Never changed once written.

    Attributes:
        call: the call.
        outcome: how it ended.
        count: how many equal refusals this entry stands for; 1 for all else.
    """

    call: Call
    outcome: Outcome
    count: int = 1


class Used(NamedTuple):
    """What an entry used, without the rest of it: for reading many.

    Attributes:
        at: the accounting time.
        status: how the call ended.
        model: the catalog's canonical key of the requested model.
        requested: the model's name as requested.
        served: the model's name as the provider reported it.
        provider: the provider's name.
        labels: who caused it.
        counts: what was used, as `Usage.to_counts` writes it.
        cost: nano-dollars.
        lines: of a correction, how the whole true cost came about, see `Outcome.lines`.
    """

    at: datetime
    status: Status
    model: str
    requested: str
    served: str | None
    provider: str
    labels: Labels
    counts: Mapping[str, int | str]
    cost: int
    lines: Sequence[Line] = ()


@dataclass(frozen=True, slots=True)
class BucketState:
    """What a bucket has spent and holds: nano-dollars, tokens or requests, by its unit.

    Attributes:
        key: see `Bucket.key`.
        scope: the scope with its value.
        pattern: the budget's scope.
        period: the budget's period.
        resets_at: the end of the period in UTC.
        spent: what has been settled.
        held: what is set aside for calls in flight.
        holds: how many calls those are.
        unit: what is counted.
    """

    key: str
    scope: str
    pattern: str
    period: Period
    resets_at: datetime | None
    spent: int
    held: int
    holds: int
    unit: Unit = Unit.USD


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over entries that share a group.

    Attributes:
        group: the values of the fields that were grouped by, in that order.
        calls: entries, without refusals and corrections.
        refused: how many calls were refused.
        cached: how many were answered from a cache.
        cost: nano-dollars.
        saved: nano-dollars saved by a cache.
        fallback_saved: nano-dollars saved by answering with a cheaper model than preferred.
        prompt_tokens: tokens sent.
        completion_tokens: tokens received.
        inexact: calls whose usage or price is not the provider's.
        unpriced: calls without a known price; their cost is not in the sum.
    """

    group: tuple[str, ...]
    calls: int
    refused: int
    cached: int
    cost: int
    saved: int
    fallback_saved: int
    prompt_tokens: int
    completion_tokens: int
    inexact: int
    unpriced: int


class Ledger(Protocol):
    """The store of entries, buckets and holds. Safe to share between threads, and across a fork.

    Every method raises `LedgerUnavailable` when the store cannot be used.
    """

    def hold(self, hold: Hold) -> HoldResult:
        """Set money aside in all buckets of the hold, or in none.

        A bucket that is new is created, with what the entries of its period have spent and what
        calls in flight hold; the buckets of a run, a session or a block start at 0. Leases that
        ended by the time of the call are swept first. A call that is held already, or has an entry,
        is granted and changes nothing.
        """

    def extend(self, hold: Hold) -> HoldResult:
        """Raise what a call holds to that of *hold*, and add buckets it does not have; or nothing.

        What is held already and more than *hold* says stays as it is. A call that holds nothing any
        more is granted and changes nothing.
        """

    def renew(self, calls: Sequence[str], until: datetime) -> int:
        """Put off the end of the leases of calls that still hold; return how many there are."""

    def settle(self, call: Call, outcome: Outcome) -> Settled | None:
        """Replace the hold of a call by its true cost and write the entry.

        The cost may exceed the hold. A call that was swept as lost gets a correction; one that was
        never held gets an entry that no bucket counts. Return `None` when it was settled before.
        """

    def record(self, call: Call, outcome: Outcome, buckets: Sequence[Bucket]) -> bool:
        """Write the entry of a call that was not held, and charge it to *buckets*.

        For what is known only afterwards: an entry that waited in a spool, or a report of someone
        else's call. Return False when the call has an entry already.
        """

    def release(self, call_id: str) -> bool:
        """Give a hold back without an entry; return False when there was none."""

    def correct(self, entry: Entry, outcome: Outcome) -> bool:
        """Write that an entry's cost was another, as a new entry; the old one stays as it is.

        The buckets that counted the entry and the totals move by *outcome*'s cost, which is the
        difference. A call has one such correction for each `Outcome.fingerprint`: return False when
        it is there already, or the ledger does not know the entry.
        """

    def learn(self, model: str, measure: str, ratio: int) -> Learned:
        """Note a ratio seen (see `estimate.ratio_seen`); return the largest one so far."""

    def learned(self) -> dict[tuple[str, str], Learned]:
        """Return what was learned, by model and measure."""

    def record_refusal(self, call: Call, refusal: Refusal) -> None:
        """Write that a call was refused.

        Refusals by one bucket within a minute that share model, provider and labels are one entry
        with a count.
        """

    def holds(self) -> list[OpenHold]:
        """Return what is held now, oldest first."""

    def tell(self, bucket: str, threshold: str, at: datetime, payload: str = "") -> bool:
        """Claim the right to tell that a bucket has reached a threshold: once for all processes.

        With a *payload*, an alert that says so waits from then on, whatever becomes of the claimer.
        """

    def claim_alert(
        self, now: datetime, until: datetime, *, since: datetime | None = None
    ) -> Alert | None:
        """Take the waiting alert that is due longest; nobody else is given it before *until*.

        Args:
            now: the current instant.
            until: when it is due again, should nobody say what has become of it.
            since: leaves out alerts older than that.
        """

    def alert_sent(self, alert: Alert, at: datetime) -> None:
        """Note that an alert has arrived."""

    def alert_failed(self, alert: Alert, again: datetime, failure: str) -> None:
        """Note why an alert could not be sent, and when it is to be tried again."""

    def next_alert(self, since: datetime | None = None) -> datetime | None:
        """Return when the next waiting alert, not older than *since*, is due."""

    def alerts(self) -> list[Alert]:
        """Return all alerts, sent and waiting, oldest first."""

    def budgets(self) -> dict[BudgetKey, Budget | None]:
        """Return the budgets set while running; `None` where a scope is to have none."""

    def set_budget(self, key: BudgetKey, budget: Budget | None, *, who: str, at: datetime) -> None:
        """Set a budget for all processes, or that its scope has none; noted in the audit."""

    def unset_budget(self, key: BudgetKey, *, who: str, at: datetime) -> bool:
        """Forget what was set for a scope, so that code, environment and file decide again."""

    def changes(self) -> list[Change]:
        """Return the audit, oldest first."""

    def revision(self) -> int:
        """Return a number that grows with every change in the audit."""

    def standing(self, buckets: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return what those buckets that exist have spent and hold, by key."""

    def drop(self, bucket: str) -> bool:
        """Remove a bucket that holds nothing, such as that of a block that is over."""

    def sweep(self, now: datetime) -> int:
        """Turn holds whose lease has ended into entries of status lost; return how many."""

    def entries(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Entry]:
        """Yield the entries with an accounting time in [since, until), oldest first."""

    def used(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Used]:
        """Yield what the entries of `entries` have used, oldest first; several times as fast."""

    def totals(
        self,
        by: Sequence[str],
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Total]:
        """Sum the entries with an accounting time in [since, until), grouped by fields.

        Args:
            by: some of `GROUPS`; an empty sequence gives one total over all.
            since: the first instant; rounded down to the half hour.
            until: the instant after the last; rounded down likewise.

        Raises:
            ConfigurationError: *by* names something else.
        """

    def statuses(self, now: datetime, *, sweep: bool = True) -> list[BucketState]:
        """Return the buckets whose period contains *now*, after a sweep.

        Without *sweep* nothing is written, and leases that have ended count as held.
        """

    def exists(self) -> bool:
        """Tell whether the store is there, without making it."""

    def close(self) -> None:
        """Close the store; a later verb opens it again."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


GROUPS: Final = (
    "model",
    "provider",
    "feature",
    "team",
    "project",
    "status",
    "user",
    "session",
    "slot",
)
"""What totals can be grouped by.

``slot`` is a span of time by its start in UTC, in ISO form: the half hour; with ``user`` or
``session`` it may be the whole day in the ledger's time zone.
"""

_REPRICED: Final = "|repriced|"


def repriced_id(call_id: str, fingerprint: str) -> str:
    """Return the id of the entry that corrects a call by the prices of that catalog."""
    return f"{call_id}{_REPRICED}{fingerprint}"


def original_id(call_id: str) -> str:
    """Return the id of the call that an entry belongs to, corrections by new prices included."""
    return call_id.partition(_REPRICED)[0]
