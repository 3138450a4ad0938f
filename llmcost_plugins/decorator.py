"""`track_cost`: records what a function costs that calls a model, and stops what cannot be paid."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from typing import Any, TypeVar

from llmcost_plugins.given import tracker_given
from llmcost_plugins.labels import make_labels
from llmcost_plugins.raw.decorating import Decoration
from llmcost_plugins.tracker import CostTracker, default_tracker

F = TypeVar("F", bound=Callable[..., Any])


def track_cost(  # noqa: PLR0913 - keyword-only options with defaults
    tracker: CostTracker | None = None,
    *,
    model: str | None = None,
    provider: str | None = None,
    max_tokens: int | None = None,
    estimate: Callable[..., Mapping[str, Any]] | None = None,
    tags: Iterable[str] = (),
    **labels: str | int | None,
) -> Callable[[F], F]:
    """Decorate a function that returns what a provider's client has answered.

    The function may be plain or asynchronous, a generator or an asynchronous one, and may return an
    answer or a stream of OpenAI, Anthropic or LiteLLM. What it returns is passed on as it is.

    The budgets are asked before the function runs, with the arguments that are named as the
    providers name them: ``model``; ``messages``, ``input`` or ``prompt``; ``max_tokens`` and so on.
    Where the function has other arguments, *estimate* says what it will ask. Where neither tells
    the model and the prompt, nothing is held, and the answer is recorded once it is there.

    What a wrapped client or another decorated function records within the function, at the same
    tracker, is what counts: each call is recorded once.

    Args:
        tracker: where to record; by default the one set up by the environment variables, when the
            function is called.
        model: the model, where no argument names it.
        provider: who bills for it.
        max_tokens: the cap of the answer, where no argument states it.
        estimate: gets the function's arguments; returns the parameters of the request, such as
            ``{"model": "gpt-4o", "messages": [...], "max_tokens": 500}``, or ``"input_tokens": n``
            instead of the messages.
        tags: words for the calls.
        labels: who causes them, as in an `attribute` block around the function.

    Raises:
        ConfigurationError: an argument cannot be used.
        BudgetExceeded: from the decorated function: a budget cannot pay for the call.
        PriceUnknown: from it: a budget applies and no price is known.
        LedgerUnavailable: from it: nothing can be held.
    """
    tracker = tracker_given(tracker, "@track_cost(tracker, feature='chat')")
    stated = {"model": model, "max_tokens": max_tokens}
    decoration = Decoration(
        default_tracker if tracker is None else lambda: tracker,
        make_labels(labels, tags),
        provider,
        {name: value for name, value in stated.items() if value is not None},
        estimate,
    )
    return partial(_decorated, decoration)


def _decorated(decoration: Decoration, function: Any) -> Any:
    if inspect.isasyncgenfunction(function):

        @wraps(function)
        async def agenerate(*args: Any, **kwargs: Any) -> Any:
            stream: Any = decoration.agenerate(function, args, kwargs)
            try:
                async for item in stream:
                    yield item
            finally:
                await stream.aclose()

        return agenerate
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def arun(*args: Any, **kwargs: Any) -> Any:
            return await decoration.arun(function, args, kwargs)

        return arun
    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def generate(*args: Any, **kwargs: Any) -> Any:
            return (yield from decoration.generate(function, args, kwargs))

        return generate

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return decoration.run(function, args, kwargs)

    return run
