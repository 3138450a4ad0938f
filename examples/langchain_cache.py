"""Cache completions on disk: the second answer is free, and the saving is real money."""

import tempfile
from datetime import timedelta
from pathlib import Path

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcost_langchain import CompletionCache, CostCallbackHandler, FallbackRouter
from llmcost_plugins import CompletionCache as DiskCache
from llmcost_plugins import CostTracker
from llmcost_plugins.testing import SimulatedProvider


def main() -> None:
    """Ask the same question twice."""
    with tempfile.TemporaryDirectory() as folder, SimulatedProvider() as provider:
        tracker = CostTracker.from_env(ledger=f"sqlite:///{folder}/ledger.db")
        # CompletionCache() alone uses LLMCOST_CACHE_DIR; set_llm_cache(...) serves all models.
        cache = CompletionCache(DiskCache(Path(folder) / "cache", ttl=timedelta(days=1)))
        chat = ChatOpenAI(model="gpt-4o", base_url=provider.base_url, api_key=SecretStr("none"))
        model = FallbackRouter(models=[chat], cache=cache)
        first, again = CostCallbackHandler(tracker), CostCallbackHandler(tracker)
        for handler in (first, again):
            model.invoke("How far is the moon?", config={"callbacks": [handler]})
            print(f"spent {handler.total} USD, saved {handler.saved} USD")
        assert first.total == again.saved == provider.billed_usd
        assert again.total == 0
        # A stream is answered from the cache, too: nothing more was billed.
        for chunk in model.stream("How far is the moon?", config={"callbacks": [again]}):
            print(chunk.text, end="")
        assert provider.billed_usd == first.total
        print(f"\nhits: {cache.core.counts.hits}")
        cache.close()
        tracker.close()


if __name__ == "__main__":
    main()
