"""Cost control for LlamaIndex: every model call is recorded, and held for before it is made.

Importing this has no side effect, and loads nothing of LlamaIndex; `install` begins to record.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from llmcost_plugins.lazy import lazy_names

# `find_spec` of a submodule imports its parent, so that one is looked for first.
if find_spec("llama_index") is None or find_spec("llama_index.core") is None:
    from llmcost_plugins.errors import MissingExtra

    raise MissingExtra.of("llamaindex", "llama-index-core")  # noqa: EM101 - two names, no message

if TYPE_CHECKING:
    from llmcost_llamaindex.cache import CachedLLM, CacheHitEvent, CompletionCache
    from llmcost_llamaindex.embeddings_cache import EmbeddingsCache
    from llmcost_llamaindex.gate import BudgetGate, guard
    from llmcost_llamaindex.handler import install, uninstall
    from llmcost_llamaindex.router import FallbackRouter

__all__ = [
    "BudgetGate",
    "CacheHitEvent",
    "CachedLLM",
    "CompletionCache",
    "EmbeddingsCache",
    "FallbackRouter",
    "guard",
    "install",
    "uninstall",
]

_HOME = {
    "BudgetGate": "gate",
    "CacheHitEvent": "cache",
    "CachedLLM": "cache",
    "CompletionCache": "cache",
    "EmbeddingsCache": "embeddings_cache",
    "FallbackRouter": "router",
    "guard": "gate",
    "install": "handler",
    "uninstall": "handler",
}


__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
