"""Cost control for LangChain: a callback handler, a router that falls back, and a disk cache.

`CostMiddleware` limits agents; embeddings and rerankers, which have no callbacks, are tracked by
wrappers.

Importing this registers one inert configure hook: with ``LLMCOST_ENABLED=true`` in the environment,
or after `install`, LangChain itself attaches a `CostCallbackHandler` to every run.
"""

from typing import TYPE_CHECKING

try:
    from llmcost_langchain.attach import install, uninstall
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langchain_core":
        raise
    from llmcost_plugins.errors import MissingExtra

    raise MissingExtra.of("langchain", "langchain-core") from error  # noqa: EM101 - names

from llmcost_langchain.callback import CostCallbackHandler
from llmcost_plugins.lazy import lazy_names

if TYPE_CHECKING:
    from llmcost_langchain.cache import CompletionCache
    from llmcost_langchain.compressors import TrackedDocumentCompressor
    from llmcost_langchain.embeddings import TrackedEmbeddings
    from llmcost_langchain.errors import BudgetExceeded
    from llmcost_langchain.fallbacks import fallback_chain
    from llmcost_langchain.middleware import CostMiddleware
    from llmcost_langchain.router import FallbackRouter

__all__ = [
    "BudgetExceeded",
    "CompletionCache",
    "CostCallbackHandler",
    "CostMiddleware",
    "FallbackRouter",
    "TrackedDocumentCompressor",
    "TrackedEmbeddings",
    "fallback_chain",
    "install",
    "uninstall",
]

_HOME = {
    "BudgetExceeded": "errors",
    "CompletionCache": "cache",
    "CostMiddleware": "middleware",
    "FallbackRouter": "router",
    "TrackedDocumentCompressor": "compressors",
    "TrackedEmbeddings": "embeddings",
    "fallback_chain": "fallbacks",
}

__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
