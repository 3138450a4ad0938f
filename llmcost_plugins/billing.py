"""What a call can cost, before it is made, and what it has cost, afterwards."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from llmcost_plugins.answers import Answers
from llmcost_plugins.budgets import Unit
from llmcost_plugins.calibration import Calibration
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.labels import Labels
from llmcost_plugins.ledger import Call, Ledger, Outcome, Status
from llmcost_plugins.money import round_to_nano
from llmcost_plugins.pricing import (
    CallSize,
    Catalog,
    Estimate,
    Line,
    Mode,
    Prices,
    Resolution,
    cost_of,
    estimate,
)
from llmcost_plugins.pricing.estimate import ceiling_estimate, ceiling_nano, output_bound
from llmcost_plugins.pricing.policy import UnknownModelPolicy
from llmcost_plugins.pricing.sizes import PromptSizer
from llmcost_plugins.pricing.tokenizers import USUAL, Tokenizer, local_tokenizer, own_encoding
from llmcost_plugins.usage import Trust, Usage

_SAMPLE: Final = 1000


class Policies(NamedTuple):
    """How calls are estimated and priced.

    Attributes:
        unknown_model: what happens under a budget to a model without a price.
        mode: how prompts are measured before a call.
        prefer_stated_cost: whether a cost that the provider states is what counts.
        max_output_tokens: the answer's length to hold for when nothing caps it.
        strict: whether a call without a cap is held for all that its model can answer.
    """

    unknown_model: UnknownModelPolicy
    mode: Mode
    prefer_stated_cost: bool
    max_output_tokens: int
    strict: bool


class Ending(NamedTuple):
    """How a call ended.

    Attributes:
        status: how.
        usage: what it used.
        served: the model's name as the provider reported it.
        detail: an error's text, or what is worth knowing.
    """

    status: Status
    usage: Usage
    served: str | None
    detail: str


class Described(Protocol):
    """What pricing asks of a call, whoever has made it."""

    @property
    def spec(self) -> CallSpec:
        """What is known of it."""

    @property
    def call(self) -> Call:
        """The same as the ledger knows it."""


class _Priced(NamedTuple):
    """What a usage cost, by which prices, and how far that can be trusted."""

    nano: int
    lines: tuple[Line, ...]
    trust: Trust
    remark: str


class Billing:
    """Estimates and prices calls.

    Args:
        catalog: returns the prices; asked at first use, because they take a moment to load.
        ledger: where what calls have shown is kept.
        policies: see `Policies`.
    """

    def __init__(self, catalog: Callable[[], Catalog], ledger: Ledger, policies: Policies) -> None:
        self._catalog = catalog
        self._policies = policies
        self._calibration = Calibration(ledger) if policies.mode is Mode.CALIBRATED else None
        self._answers = Answers(ledger)

    def resolve(self, model: str, provider: str | None) -> Resolution:
        """Find the prices of a model."""
        return self._catalog().resolve(model, provider)

    def sizer(self, model: str) -> PromptSizer:
        """Return what measures a prompt to *model*, by its bytes or as the settings ask for."""
        return PromptSizer(model, self._tokenizer(model))

    def _tokenizer(self, model: str) -> Tokenizer | None:
        if self._policies.mode is Mode.BOUND:
            return None
        own = own_encoding(model)
        if own is not None:
            return local_tokenizer(own)
        return local_tokenizer(USUAL) if self._policies.mode is Mode.CALIBRATED else None

    def output_cap(self, prices: Prices | None, size: CallSize) -> int:
        """Return the answer tokens per choice that a capped call of this size is held for.

        Without a cap it is what a router sets, or a strict hold counts with.
        """
        if prices is None:
            return self._default_cap(None) if size.output_cap is None else size.output_cap
        return output_bound(size, prices, self._default_cap(prices))

    def _default_cap(self, prices: Prices | None) -> int:
        limit = prices.max_output_tokens if prices else None
        if self._policies.strict and limit is not None:
            return limit
        return self._policies.max_output_tokens

    def held_cap(self, spec: CallSpec, found: Resolution, feature: str) -> int:
        """Return the answer tokens per choice that this very call is held for.

        Raises:
            LedgerUnavailable: what earlier answers have shown cannot be read.
        """
        cap = self.output_cap(found.prices, spec.size)
        if spec.size.output_cap is not None or self._policies.strict:
            return cap
        seen = self._answers.hold_for(found.model, feature)
        limit = found.prices.max_output_tokens if found.prices else None
        if seen is None:
            return cap
        return seen if limit is None else min(seen, limit)

    def usual_answer(self, model: str, feature: str) -> int | None:
        """Return the length that 95 % of a model's answers do not exceed, once it is known."""
        return self._answers.usual(model, feature)

    def estimate(self, spec: CallSpec, found: Resolution, now: datetime, feature: str) -> Estimate:
        """Return the most that a call can cost, or what stands in for it without a cap.

        Raises:
            LedgerUnavailable: what earlier calls have shown cannot be read.
        """
        size, cap = spec.size, self.held_cap(spec, found, feature)
        if found.prices is None:
            return ceiling_estimate(size, self._policies.unknown_model.ceiling, cap)
        own = bool(size.tokenizer) and size.tokenizer == own_encoding(spec.model)
        learned = self._calibration
        return estimate(
            size,
            found.prices,
            cap,
            at=now,
            own_tokenizer=own,
            ratio=learned.ratio(found.model, size.measure) if learned and not own else None,
        )

    def expected(
        self, spec: CallSpec, found: Resolution, now: datetime, labels: Labels
    ) -> int | None:
        """Return what a call is expected to cost, in nano-dollars; `None` without a price.

        Raises:
            LedgerUnavailable: what earlier answers have shown cannot be read.
        """
        if found.prices is None:
            return None
        size, prices = spec.size, found.prices
        cap = self.output_cap(prices, size)
        usual = self.usual_answer(found.model, labels.values.get("feature", ""))
        answer = cap if usual is None else min(usual, cap)
        prompt, limit = size.likely_prompt, prices.max_input_tokens
        usage = Usage(
            input=prompt if limit is None or size.many else min(prompt, limit),
            output=answer * max(size.choices, 1),
            other={"web_search": size.web_searches, "query": size.queries},
            service_tier=None if size.service_tier == "auto" else size.service_tier,
            region=size.region,
        )
        # Not what is held for it: nothing is written to a cache, say, unless it is asked for.
        return cost_of(usage, prices, now).nano

    def estimate_of(self, call: OpenCall, output_tokens: int) -> Estimate:
        """Return the most that an open call can cost with an answer of so many tokens in all."""
        found = self.resolve(call.spec.model, call.spec.provider)
        size = replace(call.spec.size, prompt_bound=call.estimate.prompt, text_bytes=0, choices=1)
        if found.prices is None:
            size = replace(size, output_cap=output_tokens)
            return ceiling_estimate(size, self._policies.unknown_model.ceiling, 0)
        limit = found.prices.max_output_tokens
        if limit is not None:
            output_tokens = min(output_tokens, limit * max(call.spec.size.choices, 1))
        prices = replace(found.prices.at(call.call.at), max_output_tokens=None)
        return estimate(replace(size, output_cap=output_tokens), prices, 0)

    def affordable_cap(
        self, spec: CallSpec, found: Resolution, now: datetime, left: int, unit: Unit
    ) -> int:
        """Return the answer tokens per choice that *left* still buys, after the prompt."""

        def most(cap: int) -> int:
            capped = replace(spec, size=replace(spec.size, output_cap=cap))
            made = self.estimate(capped, found, now, "")
            return made.nano if unit is Unit.USD else made.prompt + made.output

        prompt = most(0)
        # What an estimate rounds up to a nano-dollar is the same for both.
        each = most(_SAMPLE) - prompt
        return (left - prompt) * _SAMPLE // each if each > 0 else 0

    def learn(self, call: OpenCall, usage: Usage) -> None:
        """Learn from a call whose provider reported its usage.

        Raises:
            LedgerUnavailable: it cannot be written down.
        """
        size, model = call.spec.size, call.call.model
        if self._calibration:
            self._calibration.note(model, size, usage.prompt_tokens)
        if call.spec.cap_is_ours or size.output_cap is None:
            answer = -(-usage.completion_tokens // max(size.choices, 1))
            self._answers.note(model, call.feature, answer)

    def outcome(self, call: Described, ended: Ending, now: datetime) -> Outcome:
        """Price how a call went."""
        status, usage, served = ended.status, ended.usage, ended.served
        priced = self._cost(call, usage, served)
        spec, at = call.spec, call.call.at
        preferred = preferred_cost = None
        if spec.preferred is not None and status is Status.OK:
            found = self.resolve(spec.preferred, spec.preferred_provider)
            if found.prices:
                preferred = found.model
                preferred_cost = cost_of(usage, found.prices, at).nano
        free = status is Status.CACHED
        return Outcome(
            status=status,
            usage=usage if priced.trust is usage.trust else replace(usage, trust=priced.trust),
            cost=0 if free else priced.nano,
            finished_at=now,
            served=served,
            saved=priced.nano if free else 0,
            preferred_model=preferred,
            preferred_cost=preferred_cost,
            fingerprint=self._catalog().fingerprint,
            detail="; ".join(part for part in (ended.detail, usage.note, priced.remark) if part),
            lines=priced.lines,
        )

    def _cost(self, call: Described, usage: Usage, served: str | None) -> _Priced:
        found = self._billed_as(call.spec, served)
        prefers = self._policies.prefer_stated_cost
        stated = usage.stated_cost
        # A stated 0 is no stand-in: too many say it of what they have not priced.
        if stated is not None and (prefers or (found.prices is None and stated > 0)):
            remark = "the cost is the one that the provider states"
            return _Priced(round_to_nano(stated), (), usage.trust, remark)
        if found.prices is None:
            ceiling = self._policies.unknown_model.ceiling
            if ceiling == (0, 0):
                return _Priced(0, (), Trust.UNPRICED, found.reason)
            nano = ceiling_nano(usage.prompt_tokens, usage.completion_tokens, ceiling)
            return _Priced(nano, (), Trust.ESTIMATED, "")
        cost = cost_of(usage, found.prices, call.call.at)
        if cost.unpriced:
            missing = ", ".join(cost.unpriced)
            return _Priced(cost.nano, cost.lines, Trust.UNPRICED, f"no price for {missing}")
        certain = found.match.is_certain or usage.trust is not Trust.PROVIDER
        trust = usage.trust if certain else Trust.ESTIMATED
        return _Priced(cost.nano, cost.lines, trust, "" if certain else f"priced as {found.model}")

    def _billed_as(self, spec: CallSpec, served: str | None) -> Resolution:
        """Return what to price by: the served snapshot, if the catalog knows exactly that one.

        A price that the user has stated for the requested name is not replaced by a list price.
        """
        found = self.resolve(spec.model, spec.provider)
        if not served or served == spec.model:
            return found
        precise = self.resolve(served, spec.provider)
        if found.prices is None:
            return precise
        if precise.prices is None or not precise.match.is_certain:
            return found
        return found if found.prices.by_user and not precise.prices.by_user else precise
