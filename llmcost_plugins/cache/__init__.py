"""Completions cached on disk: safe to read, keyed by the whole request, apart by tenant.

The engine is diskcache; its own `Disk` and `JSONDisk` both execute a pickle that somebody planted
in the file (CVE-2025-69872, no fix upstream), so `BytesDisk` takes their place.
"""

from llmcost_plugins.cache.counting import CacheCounts
from llmcost_plugins.cache.entries import CachedAnswer, pieces_of
from llmcost_plugins.cache.keys import Canonical, NoKey, canonical
from llmcost_plugins.cache.rules import Asked, CacheRules
from llmcost_plugins.cache.store import CompletionCache
from llmcost_plugins.cache.visits import Visit

__all__ = [
    "Asked",
    "CacheCounts",
    "CacheRules",
    "CachedAnswer",
    "Canonical",
    "CompletionCache",
    "NoKey",
    "Visit",
    "canonical",
    "pieces_of",
]
