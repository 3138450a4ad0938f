"""`CompletionCache`: LangChain's cache interface over the disk cache of the core."""

import logging
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import BaseModel

from llmcost_langchain._messages import CACHE_MARK
from llmcost_plugins.cache import CompletionCache as CoreCache
from llmcost_plugins.clock import utc_now
from llmcost_plugins.settings import Settings

_log: Final = logging.getLogger("llmcost_plugins")
# A key that shows an object's address or a class without its fields would be found again for
# another request, or never.
_NO_IDENTITY: Final = re.compile(r"<class '| at 0x[0-9a-f]{4,}|<function ")
_NOT_STORED: Final = frozenset({"length", "max_tokens", "content_filter", "MAX_TOKENS", "SAFETY"})


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
            settings = Settings.from_env()
            cache = CoreCache(
                settings.cache_dir,
                ttl=settings.cache_ttl,
                size=settings.cache_size,
                namespace=settings.cache_namespace,
            )
        self.core = cache
        self._clock = clock

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Return the stored answer, or `None`; never raises."""
        try:
            key = self._key(prompt, llm_string)
            stored = self.core.get(key) if key else None
            return None if stored is None else [_generation(item) for item in stored]
        except Exception as error:  # noqa: BLE001 - a look-up that raises would end the chain
            _log.warning("a cached completion could not be rebuilt: %s", error)
            return None

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Store an answer; never raises: the answer is paid for and must arrive."""
        try:
            key = self._key(prompt, llm_string)
            if key and _is_worth_keeping(return_val):
                stored = [_stored(generation) for generation in return_val]
                self.core.put(key, stored, self._clock())
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
            _log.debug("a request that cannot be told from others is not cached: %s", llm_string)
            return None
        return self.core.key({"prompt": prompt, "model": llm_string})


def _is_worth_keeping(generations: Sequence[Generation]) -> bool:
    reasons = [
        (generation.generation_info or {}).get("finish_reason") for generation in generations
    ]
    for generation in generations:
        if isinstance(generation, ChatGeneration):
            metadata = generation.message.response_metadata
            reasons += [metadata.get("finish_reason"), metadata.get("stop_reason")]
    return bool(generations) and _NOT_STORED.isdisjoint(reasons)


def _stored(generation: Generation) -> dict[str, Any]:
    info = generation.generation_info
    if not isinstance(generation, ChatGeneration):
        return {"text": generation.text, "info": info}
    message = generation.message
    if isinstance(message, AIMessageChunk):
        message = message_chunk_to_message(message)
    fields = message.model_dump(exclude={"type", "id"}, fallback=_plain)
    return {"message": fields, "info": info}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    msg = f"a value of type {type(value).__name__} has no plain form"
    raise TypeError(msg)


def _generation(stored: dict[str, Any]) -> Generation:
    if "message" not in stored:
        return Generation(text=stored["text"], generation_info=stored["info"])
    message = AIMessage(**stored["message"])
    message.response_metadata = {**message.response_metadata, CACHE_MARK: {"hit": True}}
    return ChatGeneration(message=message, generation_info=stored["info"])
