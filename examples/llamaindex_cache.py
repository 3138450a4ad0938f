"""Keep answers on disk: the second one is free, whole or streamed, and the saving is real money."""

import tempfile
from datetime import timedelta
from pathlib import Path

import httpx
from llama_index.llms.openai import OpenAI

from llmcost_llamaindex import CachedLLM, CompletionCache, install, uninstall
from llmcost_plugins import CostTracker
from llmcost_plugins.testing import SimulatedProvider

QUESTION = "How far is the moon?"


def main() -> None:
    """Ask the same question three times."""
    with (
        tempfile.TemporaryDirectory() as folder,
        SimulatedProvider() as provider,
        httpx.Client() as client,
    ):
        tracker = CostTracker.from_env(ledger=f"sqlite:///{folder}/ledger.db")
        install(tracker)
        model = OpenAI(
            model="gpt-4o", api_key="none", api_base=provider.base_url, http_client=client
        )
        # CachedLLM(model) alone uses LLMCOST_CACHE_DIR; a FallbackRouter takes cache= as well.
        cache = CompletionCache(Path(folder) / "cache", ttl=timedelta(days=1))
        llm = CachedLLM(model, cache=cache)
        with tracker.track() as first:
            print(llm.complete(QUESTION))
        with tracker.track() as again:
            print(llm.complete(QUESTION))
            for chunk in llm.stream_complete(QUESTION):
                print(chunk.delta, end="")
        print(f"\nspent {first.total} USD, then {again.total} USD; saved {again.saved} USD")
        assert first.total == provider.billed_usd
        assert again.total == 0
        assert again.saved == 2 * first.total
        uninstall()
        cache.close()
        tracker.close()


if __name__ == "__main__":
    main()
