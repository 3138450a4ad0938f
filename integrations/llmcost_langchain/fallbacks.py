"""LangChain's own `with_fallbacks`, with a handler on each model."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableWithFallbacks

from llmcost_langchain._calls import TRANSIENT
from llmcost_langchain.callback import CostCallbackHandler
from llmcost_langchain.errors import BudgetExceeded
from llmcost_plugins.errors import ConfigurationError, PriceUnknown
from llmcost_plugins.tracker import CostTracker

_CLIENTS: Final = ("openai", "anthropic")
_CLIENT_ERRORS: Final = ("APIConnectionError", "RateLimitError", "InternalServerError")
"""Names that both clients give them; a time-out is a connection error."""


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
    handled = (BudgetExceeded, PriceUnknown, *TRANSIENT, *_errors_of_clients())
    return first.with_fallbacks(others, exceptions_to_handle=handled)


def _errors_of_clients() -> list[type[Exception]]:
    """Return what the clients that are loaded raise where another model may answer.

    Packages older than LangChain's own classes of errors pass those of their client through
    (langchain-openai 1.0 does). Nothing is imported for it: a model has loaded its client.
    """
    modules = [sys.modules[name] for name in _CLIENTS if name in sys.modules]
    found = [getattr(module, name, None) for module in modules for name in _CLIENT_ERRORS]
    return [kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception)]


def _handled(model: BaseChatModel, handler: CostCallbackHandler) -> BaseChatModel:
    """Return a copy of a model that has a handler besides its own ones."""
    known = model.callbacks
    if known is None or isinstance(known, list):
        callbacks: Any = [*(known or ()), handler]
    else:
        callbacks = known.copy()
        callbacks.add_handler(handler)
    return model.model_copy(update={"callbacks": callbacks})
