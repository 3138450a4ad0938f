"""`CompletionCache`: LangChain's cache interface over the disk cache of the core."""

import logging
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache

from llmcost_langchain._answers import entry_of, generations_of, not_worth_keeping
from llmcost_plugins.cache import CompletionCache as CoreCache
from llmcost_plugins.clock import utc_now
from llmcost_plugins.settings import Settings

_log: Final = logging.getLogger("llmcost_plugins")
# A key that shows an object's address or a class without its fields would be found again for
# another request, or never.
_NO_IDENTITY: Final = re.compile(r"<class '| at 0x[0-9a-f]{4,}|<function ")


class CompletionCache(BaseCache):
    """Keeps completions on disk, for `set_llm_cache` or a model's ``cache=``.

    A hit costs nothing, is marked in ``response_metadata["llmcost_cache"]``, comes without the
    stored message's id (LangGraph replaces messages of the same id), and is recorded with what it
    saved.
    Truncated and filtered answers are not stored. Nothing raises because of the disk.

    Args:
        cache: the cache to use; by default one as the environment variables say.
        clock: returns the current aware instant.
    """

    def __init__(
        self, cache: CoreCache | None = None, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        if cache is None:
            cache = CoreCache.from_settings(Settings.from_env())
        self.core = cache
        self._clock = clock

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Return the stored answer, or `None`; never raises."""
        try:
            key = self._key(prompt, llm_string)
            entry = self.core.get(key, self._clock()) if key else None
            return None if entry is None else generations_of(entry)
        except Exception as error:  # noqa: BLE001 - a look-up that raises would end the chain
            _log.warning("a cached completion could not be rebuilt: %s", error)
            return None

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Store an answer; never raises: the answer is paid for and must arrive."""
        try:
            key = self._key(prompt, llm_string)
            why = not_worth_keeping(return_val)
            if why:
                self.core.counter.skip(why)
            elif key:
                self.core.put(
                    key, entry_of(return_val, self._clock(), namespace=self.core.namespace_of())
                )
        except Exception as error:  # noqa: BLE001 - see the docstring
            _log.warning("a completion could not be cached: %s", error)

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Do what `lookup` does; inline, since a hop to a thread takes longer than the look-up."""
        return self.lookup(prompt, llm_string)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Do what `update` does, inline likewise."""
        self.update(prompt, llm_string, return_val)

    def clear(self, **kwargs: Any) -> None:  # noqa: ARG002 - LangChain's signature
        """Remove all stored answers."""
        self.core.clear()

    async def aclear(self, **kwargs: Any) -> None:
        """Do what `clear` does, inline likewise."""
        self.clear(**kwargs)

    def close(self) -> None:
        """Close the files; a later use opens them again."""
        self.core.close()

    def _key(self, prompt: str, llm_string: str) -> str | None:
        if _NO_IDENTITY.search(llm_string):
            self.core.counter.skip("no key: it names objects by their address or class")
            _log.debug("a request that cannot be told from others is not cached: %s", llm_string)
            return None
        return self.core.key({"prompt": prompt, "model": llm_string})
