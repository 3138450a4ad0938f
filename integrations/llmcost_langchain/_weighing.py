"""What a policy is told of a request: its models, what each would cost, what the request needs."""

from collections.abc import Sequence
from functools import lru_cache

from langchain_core.language_models import BaseChatModel

from llmcost_langchain._abilities import needs_of, why_unsuitable
from llmcost_langchain._calls import ChatRequest, Route, may_fall_back, name_of, plan_call
from llmcost_langchain._structured import STRUCTURE
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.errors import ModelUnsuitable
from llmcost_plugins.policies import Candidate
from llmcost_plugins.routing import Attempts
from llmcost_plugins.rules import Request
from llmcost_plugins.standing import Left


def weigh(
    models: Sequence[BaseChatModel], request: ChatRequest, route: Route, *, streamed: bool
) -> tuple[list[Candidate], Request]:
    """Return the candidates for a request, and what is known of it; holds nothing."""
    plans = [
        _plan(models, index, request, route, streamed=streamed) for index in range(len(models))
    ]
    specs = [spec for spec in plans if isinstance(spec, CallSpec)]
    media = frozenset[str]().union(*(spec.size.media for spec in specs))
    needs = needs_of(request.kwargs, media, structured=STRUCTURE in request.kwargs)
    candidates = []
    for index, (model, spec) in enumerate(zip(models, plans, strict=True)):
        name = name_of(model)
        if isinstance(spec, CallSpec):
            tracker, likely = route.tracker, spec.size.likely_prompt
            why = why_unsuitable(model, name.model, name.provider, needs, tracker.catalog)
            found = Candidate(index, name.model, tracker.expected_cost(spec), likely, why)
        else:
            found = Candidate(index, name.model, None, 0, spec)
        candidates.append(found)

    @lru_cache(maxsize=1)
    def left() -> Sequence[Left]:
        return route.tracker.budgets_left(specs)

    longest = max((one.prompt_tokens for one in candidates), default=0)
    return candidates, Request(route.caused_by, longest, needs, left)


def _plan(
    models: Sequence[BaseChatModel],
    index: int,
    request: ChatRequest,
    route: Route,
    *,
    streamed: bool,
) -> CallSpec | str:
    """Return the call to one model, or why there can be none."""
    # To plan is not to ask: nobody comes after it, and nothing is held.
    names = [name_of(models[index]).model] * (index + 1)
    alone = next(iter(Attempts(names, may_fall_back, order=[index])))
    try:
        return plan_call(models, alone, request, route, streamed=streamed).spec
    except (ModelUnsuitable, NotImplementedError) as error:
        return str(error) or type(error).__name__
