"""LangChain's own `with_fallbacks`, with a handler on each model."""

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableWithFallbacks

from llmcost_langchain._calls import TRANSIENT
from llmcost_langchain.callback import CostCallbackHandler
from llmcost_langchain.errors import BudgetExceeded
from llmcost_plugins.errors import ConfigurationError, PriceUnknown
from llmcost_plugins.tracker import CostTracker


def fallback_chain(
    models: Sequence[BaseChatModel],
    *,
    tracker: CostTracker | None = None,
    tags: Iterable[str] = (),
    **labels: str | int | None,
) -> RunnableWithFallbacks[Any, BaseMessage]:
    """Return the first model with the others as its fallbacks, each with a handler.

    For those who want nothing but LangChain's own means. What only `FallbackRouter` does: it holds
    the true bound of a call without a cap, heeds budgets that say ``raise``, waits for calls in
    flight, lets failed models cool down, keeps one set of tools for several providers, and is a
    chat model itself. Like it, this falls back on refusals and on errors before the first chunk.

    Args:
        models: from preferred to cheapest.
        tracker: where to record; by default the one set up by the environment variables.
        tags: words for the calls made here.
        labels: who causes them, see `CostCallbackHandler`.

    Raises:
        ConfigurationError: there is no model, or a label cannot be used.
    """
    if not models:
        msg = "a chain of fallbacks needs at least one model; pass them from preferred to cheapest"
        raise ConfigurationError(msg)
    handler = CostCallbackHandler(tracker, tags=tags, **labels)
    first, *others = (_handled(model, handler) for model in models)
    return first.with_fallbacks(
        others, exceptions_to_handle=(BudgetExceeded, PriceUnknown, *TRANSIENT)
    )


def _handled(model: BaseChatModel, handler: CostCallbackHandler) -> BaseChatModel:
    """Return a copy of a model that has a handler besides its own ones."""
    known = model.callbacks
    if known is None or isinstance(known, list):
        callbacks: Any = [*(known or ()), handler]
    else:
        callbacks = known.copy()
        callbacks.add_handler(handler)
    return model.model_copy(update={"callbacks": callbacks})
