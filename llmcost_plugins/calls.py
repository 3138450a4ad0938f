"""A call from its description, through its hold, to one of its ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from llmcost_plugins.blocks import Block
from llmcost_plugins.budgets import Bucket
from llmcost_plugins.errors import BudgetExceeded
from llmcost_plugins.failures import ended_by_caller, kind_of, may_be_billed
from llmcost_plugins.guard import Owner, current_owner
from llmcost_plugins.labels import Labels
from llmcost_plugins.ledger import Call, Outcome, Status
from llmcost_plugins.pricing import CallSize, Estimate, Prices
from llmcost_plugins.streams import Streamed
from llmcost_plugins.usage import Trust, Usage


@dataclass(frozen=True, slots=True)
class CallSpec:
    """What an adapter knows of a call before it is made.

    Attributes:
        id: made by the caller and unique; the same id is the same call.
        model: the name as the framework reports it.
        provider: the framework's name of the provider, where known.
        size: how large the call can become.
        labels: who caused it, as the call itself says; win over the `attribute` blocks in force.
        defaults: who causes calls of this place in general; those blocks win over these.
        run: the outermost run that it belongs to; the call itself when `None`.
        preferred: the model a router would rather have used, where it is another.
        preferred_provider: that model's provider.
        has_alternative: whether a refusal only means that the next candidate is asked; it is then
            not recorded as one.
        may_wait: whether to wait for calls in flight at all.
        watched: whether a frame of ours ends the call whatever happens, so that its lease may be
            short and renewed for as long as the process lives.
        cap_is_ours: whether the output cap was not the caller's, but set by a router.
        handed_on: whether another framework makes the call, which may be watched as well: a call
            that begins there counts, and this one's money is given back.
    """

    id: str
    model: str
    provider: str | None
    size: CallSize
    labels: Labels = field(default_factory=Labels)
    defaults: Labels = field(default_factory=Labels)
    run: str | None = None
    preferred: str | None = None
    preferred_provider: str | None = None
    has_alternative: bool = False
    may_wait: bool = True
    watched: bool = False
    cap_is_ours: bool = False
    handed_on: bool = False


class CallKeeper(Protocol):
    """Who opens calls and writes down how they end: the tracker."""

    def output_cap(self, prices: Prices | None, size: CallSize) -> int:
        """Return the answer tokens per choice that a call of this size is held for."""

    def extend(self, call: "OpenCall", output_tokens: int) -> None:
        """Hold more for a call whose answer grows.

        Raises:
            BudgetExceeded: a budget cannot pay for a longer answer.
        """

    def is_open(self, call: "OpenCall") -> bool:
        """Tell whether the call is waiting for its end."""

    def end_call(
        self,
        call: "OpenCall",
        status: Status,
        usage: Usage,
        served: str | None = None,
        detail: str = "",
    ) -> Outcome | None:
        """Settle the call unless it has ended before. Never raises."""

    def release_call(self, call: "OpenCall") -> None:
        """Give the money of the call back unless it has ended before. Never raises."""

    def note_failure(self, what: str, *arguments: object) -> None:
        """Log and count what has failed, with the exception being handled. Never raises."""


class OpenCall:
    """A call between its hold and its end. One of the end verbs takes effect, the first.

    The end verbs never raise: the provider has answered, and a failure of the bookkeeping must not
    cost the answer. What fails is logged and counted by the keeper (`CostTracker.failures`).
    """

    __slots__ = (
        "_keeper",
        "blocks",
        "buckets",
        "call",
        "estimate",
        "lease_until",
        "outcome",
        "owner",
        "prices",
        "settled",
        "spec",
        "spent",
        "unheld",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - the facts of a call, made in one place
        self,
        keeper: CallKeeper,
        spec: CallSpec,
        call: Call,
        prices: Prices | None,
        estimate: Estimate,
        lease_until: datetime,
    ) -> None:
        self._keeper = keeper
        self.spec = spec
        self.call = call
        self.prices = prices
        self.estimate = estimate
        self.lease_until = lease_until
        self.owner: Owner = current_owner()
        self.outcome: Outcome | None = None
        self.settled = False
        self.buckets: Sequence[Bucket] = ()
        self.blocks: Sequence[Block] = ()
        self.unheld = False
        self.spent: Mapping[str, int] = {}

    @property
    def feature(self) -> str:
        """The label ``feature`` of the call."""
        return self.call.labels.values.get("feature", "")

    @property
    def remaining(self) -> dict[str, str]:
        """What each budget of the call has left since it ended: ``team:alpha/month`` to an amount.

        USD, or what the budget counts; calls in flight are not taken off.
        """
        known = [bucket for bucket in self.buckets if bucket.key in self.spent]
        return {
            bucket.name: bucket.amount(bucket.limit - self.spent[bucket.key]) for bucket in known
        }

    @property
    def ended(self) -> bool:
        """Whether an end verb has taken effect, or the ledger counts the call as lost."""
        return not self._keeper.is_open(self)

    def streamed(self) -> Streamed:
        """Return what counts the chunks of this call's answer, see `keep_up`."""
        capped = self.spec.size.output_cap is not None
        return Streamed(None if capped else self.estimate.output)

    def keep_up(self, streamed: Streamed) -> None:
        """Hold more for an answer that comes close to what is held for it.

        Twice as much is asked for in good time; if that is refused, the answer may still end within
        what is held. Only one that has used that up is stopped, unless a budget pays for a little
        more.

        Raises:
            BudgetExceeded: a budget cannot pay for a longer answer; stop the stream.
        """
        held = self.estimate.output
        if not streamed.is_near(held):
            streamed.reach_near(held)  # another handler of the same call was faster
            return
        in_time = streamed.tokens < held
        try:
            self._keeper.extend(self, 2 * held if in_time else streamed.tokens + held // 4 + 1)
        except BudgetExceeded:
            if not in_time:
                raise
            streamed.reach(held)
            return
        if self.estimate.output > held:
            streamed.reach_near(self.estimate.output)
        else:
            streamed.rest()  # all that the model can answer is held, or the ledger is gone

    def finish(self, usage: Usage, served: str | None = None) -> Outcome | None:
        """Settle with the usage that the provider reported.

        Args:
            usage: what was used.
            served: the model's name as the provider reported it; preferred for pricing.

        Returns:
            What was recorded when the call ended, by this verb or an earlier one; `None` when it
            could not be recorded.
        """
        return self._keeper.end_call(self, Status.OK, usage, served)

    def cached(self, usage: Usage, served: str | None = None) -> Outcome | None:
        """Settle as answered from a cache: no cost, *usage*'s price is saved."""
        return self._keeper.end_call(self, Status.CACHED, usage, served)

    def fail(
        self, error: BaseException, *, billed: Usage | None = None, served: str | None = None
    ) -> Outcome | None:
        """Settle as failed; without *billed* usage the provider charged nothing."""
        usage = Usage() if billed is None else billed
        return self._keeper.end_call(self, Status.ERROR, usage, served, kind_of(error))

    def abort(
        self,
        *,
        streamed_bytes: int | None,
        usage: Usage | None = None,
        served: str | None = None,
        detail: str = "",
    ) -> Outcome | None:
        """Settle as broken off; estimated on the safe side unless the *usage* is known.

        Args:
            streamed_bytes: the size of what was received so far, see `estimated_usage`.
            usage: what the provider reported before the end.
            served: the model's name as the provider reported it.
            detail: why.
        """
        if usage is None:
            usage = self.estimated_usage(streamed_bytes)
        return self._keeper.end_call(self, Status.ABORTED, usage, served, detail)

    def broke(
        self,
        error: BaseException,
        *,
        received_bytes: int,
        usage: Usage | None,
        served: str | None = None,
    ) -> Outcome | None:
        """Settle a call that was sent, and failed or was broken off.

        A consumer that stops at the last chunk "fails" with the exact usage in hand; a provider
        that refuses with an HTTP status bills nothing; an answer that never came may have been
        billed whole.

        Args:
            error: what ended it.
            received_bytes: UTF-8 bytes of the answer received so far; 0 when there were none.
            usage: what the provider reported before the end.
            served: the model's name as the provider reported it.
        """
        # A refusal stops a stream only; one before that is of a call that was not sent.
        stopped = isinstance(error, BudgetExceeded) and received_bytes > 0
        if stopped or ended_by_caller(error):
            detail = f"the caller ended it: {type(error).__name__}"
            received = received_bytes or None
            return self.abort(streamed_bytes=received, usage=usage, served=served, detail=detail)
        if usage is None and (received_bytes or may_be_billed(error)):
            usage = self.estimated_usage(received_bytes or None)
        return self.fail(error, billed=usage, served=served)

    def release(self) -> None:
        """Give the money back: nothing was sent."""
        self._keeper.release_call(self)

    def note_failure(self, what: str) -> None:
        """Log and count that *what* of this call could not be read; in an `except` block."""
        self._keeper.note_failure(f"{what} of the call %s could not be read", self.spec.id)

    def estimated_usage(self, received_bytes: int | None) -> Usage:
        """Return what the provider can have counted for the part of a call that is known of.

        What it went on to produce after the caller had left is in no one's sight.

        Args:
            received_bytes: UTF-8 bytes of the answer received; a token has at least one. The whole
                output cap counts when it is `None`, because nothing says how much was produced,
                and for a model that reasons, because what was received is not all of it.
        """
        cap = self._keeper.output_cap(self.prices, self.spec.size) * max(self.spec.size.choices, 1)
        cap = max(cap, self.estimate.output)  # it may have been extended
        hidden = self.prices is not None and self.prices.reasons
        seen = cap if received_bytes is None or hidden else min(cap, received_bytes)
        return Usage(input=self.estimate.prompt, output=seen, trust=Trust.ESTIMATED)
