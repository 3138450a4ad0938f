"""Cost control for LlamaIndex: every model call is recorded, and held for before it is made.

`install` begins to record. Importing this puts one inert handler on LlamaIndex's dispatcher, which
installs at the first call if ``LLMCOST_ENABLED`` is on; nothing of `llama_index.core` is loaded.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from llmcost_plugins.lazy import lazy_names

# `find_spec` of a submodule imports its parent, so that one is looked for first.
if find_spec("llama_index") is None or find_spec("llama_index.core") is None:
    from llmcost_plugins.errors import MissingExtra

    raise MissingExtra.of("llamaindex", "llama-index-core")  # noqa: EM101 - two names, no message

from llmcost_llamaindex.attach import wait

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


wait()
__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
