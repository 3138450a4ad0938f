"""What a policy is told of a request: its models, what each would cost, what the request needs."""

from collections.abc import Sequence
from functools import lru_cache

from llama_index.core.llms.llm import LLM

from llmcost_llamaindex._asks import Ask, Form
from llmcost_llamaindex._routes import Route, alone, name_of, plan_call, why_not
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.errors import ModelUnsuitable
from llmcost_plugins.policies import Candidate
from llmcost_plugins.pricing.abilities import needs_of
from llmcost_plugins.rules import Request
from llmcost_plugins.standing import Left


def weigh(
    models: Sequence[LLM], ask: Ask, form: Form, route: Route
) -> tuple[list[Candidate], Request]:
    """Return the candidates for a request, and what is known of it; holds nothing."""
    plans = [_plan(models, index, ask, form, route) for index in range(len(models))]
    specs = [spec for spec in plans if isinstance(spec, CallSpec)]
    media = frozenset[str]().union(*(spec.size.media for spec in specs))
    needs = needs_of(media, tools=ask.needs_tools, structured=ask.needs_structure)
    candidates = []
    for index, (model, spec) in enumerate(zip(models, plans, strict=True)):
        if isinstance(spec, CallSpec):
            tracker, likely = route.tracker, spec.size.likely_prompt
            why = why_not(ask, spec.model, spec.provider, spec.size, tracker)
            found = Candidate(index, name_of(model), tracker.expected_cost(spec), likely, why)
        else:
            found = Candidate(index, name_of(model), None, 0, spec)
        candidates.append(found)

    @lru_cache(maxsize=1)
    def left() -> Sequence[Left]:
        return route.tracker.budgets_left(specs)

    longest = max((one.prompt_tokens for one in candidates), default=0)
    return candidates, Request(route.labels, longest, needs, left)


def _plan(models: Sequence[LLM], index: int, ask: Ask, form: Form, route: Route) -> CallSpec | str:
    """Return the call to one model, or why there can be none."""
    try:
        return plan_call(models, alone(models, index), ask, form, route).spec
    except (ModelUnsuitable, NotImplementedError) as error:
        return str(error) or type(error).__name__
