"""Cost control for LangChain: a callback handler, a router that falls back, and a disk cache.

Importing this registers one inert configure hook: with ``LLMCOST_ENABLED=true`` in the environment,
LangChain itself attaches a `CostCallbackHandler` to every run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

try:
    from langchain_core.tracers.context import register_configure_hook
except ImportError as error:
    from llmcost_plugins.errors import MissingExtra

    raise MissingExtra.of("langchain", "langchain-core") from error  # noqa: EM101 - names

from llmcost_langchain.callback import CostCallbackHandler
from llmcost_plugins.lazy import lazy_names

if TYPE_CHECKING:
    from llmcost_langchain.cache import CompletionCache
    from llmcost_langchain.errors import BudgetExceeded
    from llmcost_langchain.middleware import CostMiddleware
    from llmcost_langchain.router import FallbackRouter

__all__ = [
    "BudgetExceeded",
    "CompletionCache",
    "CostCallbackHandler",
    "CostMiddleware",
    "FallbackRouter",
]

_HOME = {
    "BudgetExceeded": "errors",
    "CompletionCache": "cache",
    "CostMiddleware": "middleware",
    "FallbackRouter": "router",
}

_attached: ContextVar[CostCallbackHandler | None] = ContextVar("llmcost_handler", default=None)
register_configure_hook(
    _attached, inheritable=True, handle_class=CostCallbackHandler, env_var="LLMCOST_ENABLED"
)


@contextmanager
def attached(handler: CostCallbackHandler) -> Iterator[None]:
    """Let LangChain attach the handler to what runs inside, unless one of ours is there."""
    token = _attached.set(handler)
    try:
        yield
    finally:
        _attached.reset(token)


__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
