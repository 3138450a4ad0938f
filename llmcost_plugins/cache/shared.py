"""The cache of the process, as the environment variables describe it."""

import threading
from typing import Final

from llmcost_plugins.cache.store import CompletionCache

_lock: Final = threading.Lock()
_shared: Final[list[tuple[CompletionCache, bool]]] = []


def shared_cache(*, always: bool = False) -> CompletionCache | None:
    """Return the cache of the process, made at the first call.

    Args:
        always: whether to return it where ``LLMCOST_CACHE`` is off, too.

    Raises:
        ConfigurationError: a setting cannot be used.
    """
    with _lock:
        if not _shared:
            # Not at the top: it takes longer to import than all of the rest.
            from llmcost_plugins.settings import Settings

            settings = Settings.from_env()
            _shared.append((CompletionCache.from_settings(settings), settings.cache))
        cache, wanted = _shared[0]
    return cache if wanted or always else None


def forget_shared_cache() -> None:
    """Close it; the next use reads the environment anew."""
    with _lock:
        for cache, _ in _shared:
            cache.close()
        _shared.clear()
