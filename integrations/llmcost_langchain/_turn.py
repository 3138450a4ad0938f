"""One turn of an agent's model: the requests to make until one is answered, or none fits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from langchain.agents.middleware.types import ExtendedModelResponse, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langgraph.types import Command

from llmcost_langchain._books import Books
from llmcost_langchain._calls import Route, name_of, prefers_cheaper
from llmcost_langchain._caps import cap_for
from llmcost_langchain._endings import facts_of
from llmcost_langchain._holding import Facts, Holding, Request, Step
from llmcost_langchain._notes import METADATA_KEY
from llmcost_plugins.errors import BudgetExceeded
from llmcost_plugins.labels import Labels
from llmcost_plugins.money import usd_string
from llmcost_plugins.routing import Attempt, Attempts

Response = ExtendedModelResponse[Any]


class Turn:
    """Walks the models from the agent's own to the cheapest.

    Args:
        models: the models.
        request: what the agent asks for.
        books: what it is charged to.
        holding: makes what holds the money.
        ending: says what to answer when nothing fits; `None` to raise.
    """

    def __init__(
        self,
        models: Sequence[BaseChatModel],
        request: Request,
        books: Books,
        holding: Callable[[Facts], Holding],
        ending: Callable[[BudgetExceeded], str] | None,
    ) -> None:
        self._models = [request.model, *(m for m in models if m is not request.model)]
        self._request = request
        self._books = books
        self._holding = holding
        self._ending = ending
        names = [name_of(model).model for model in self._models]
        # What else can go wrong is the business of other middleware.
        order = list(range(len(names)))
        if self._goes_cheaper():
            order.reverse()
        self._attempts = Attempts(names, lambda _error: False, order=order, preferred=0)
        self.response: Response | None = None

    def steps(self) -> Iterator[Step]:
        """Yield each request to make; when that ends, `response` is set.

        Raises:
            BudgetExceeded: nothing fits, and that is to be raised.
        """
        try:
            for attempt in self._attempts:
                with attempt:
                    yield from self._attempt(attempt)
                    return
        except BudgetExceeded as error:
            if self._ending is None:
                raise
            self.response = self._ended(error, self._ending(error))

    def _attempt(self, attempt: Attempt) -> Iterator[Step]:
        model = self._models[attempt.index]
        request = self._request.override(model=model)
        tracker = self._books.tracker
        cap = cap_for(request, tracker)
        preferred = name_of(self._models[attempt.preferred]) if attempt.index else None
        # A refusal is not recorded while a shorter answer may fit.
        facts = Facts(
            tracker=tracker,
            defaults=self._books.defaults,
            preferred=preferred,
            has_alternative=not attempt.is_last or bool(cap.name),
            may_wait=attempt.may_wait,
            cap_is_ours=bool(cap.name),
        )
        step = Step(cap.on(request), self._holding(facts))
        yield step
        shorter = None
        try:
            self.response = self._answered(step, attempt)
        except BudgetExceeded as error:
            # From then on a second answer would follow the beginning of the first.
            attempt.committed = step.holding.stopped
            refused = step.holding.refused
            if attempt.committed or not cap.name or refused is None:
                raise
            shorter = cap.lowered(tracker, refused, error, is_last=attempt.is_last)
            if shorter is None and not attempt.is_last:
                raise
        if self.response is not None:
            return
        # With a shorter answer; or the same again, for the record: that refusal is the last word.
        facts = replace(facts, has_alternative=not attempt.is_last, may_wait=False)
        step = Step((shorter or cap).on(request), self._holding(facts))
        yield step
        self.response = self._answered(step, attempt)

    def _goes_cheaper(self) -> bool:
        if len(self._models) == 1:
            return False
        route = Route(self._books.tracker, Labels(), self._books.defaults, self._books.root)
        return prefers_cheaper(self._models, route)

    def _answered(self, step: Step, attempt: Attempt) -> Response:
        """Return the step's response, with a note of what it has cost; raises its error."""
        response = step.answer()
        note: dict[str, Any] = {"passed_over": attempt.passed_over, **self._books.note()}
        if step.holding.opened:
            call = step.holding.opened[-1]
            note["model"] = call.spec.model
            if call.spec.cap_is_ours:
                note["output_cap"] = call.spec.size.output_cap
            if call.outcome is not None:
                note["cost_usd"] = usd_string(call.outcome.cost)
        message = next((m for m in response.result if isinstance(m, AIMessage)), None)
        if message is not None:
            # What a router has noted of its own models stays.
            routed = message.response_metadata.get(METADATA_KEY, {})
            message.response_metadata[METADATA_KEY] = {**note, **routed}
        return ExtendedModelResponse(response, Command(update=self._books.state()))

    def _ended(self, error: BudgetExceeded, text: str) -> Response:
        # An agent with tools ends at a message that calls none, also where it waits for structured
        # output; and `wrap_tool_call` makes every agent one with tools.
        reasons = [(name, str(reason)) for name, reason in self._attempts.failed]
        note = {"refused": facts_of(error), "passed_over": reasons, **self._books.note()}
        message = AIMessage(text, response_metadata={METADATA_KEY: note})
        update: Command[Any] = Command(update=self._books.state())
        return ExtendedModelResponse(ModelResponse(result=[message]), update)
