"""Who counts what in each billing situation: we, and the counters that come with LangChain.

Writes docs/situations.md. Needs langchain-community for `get_openai_callback`.
"""

import asyncio
import gc
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler

from llmcost_langchain import CostCallbackHandler
from llmcost_plugins import CostTracker
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.testing import SimulatedProvider
from tests.integration.langchain.situations import SITUATIONS, Situation, World

DOCS: Final = Path(__file__).parents[2] / "docs" / "situations.md"
HEAD: Final = """# Billing situations under LangChain

Written by `make bench PYTEST_ARGS="-k situations"`: each situation is played three times on the
[simulated provider](testing.md), once for each counter, and compared with what
the provider billed. The two others are LangChain's `get_usage_metadata_callback`, which counts
tokens, and `get_openai_callback` of langchain-community, which also prices those of OpenAI.
`tests/integration/langchain/test_situations.py` holds our column.

"""
TAIL: Final = """
What no counter sees, so that it is in no row: tries that a client repeats by itself and that were
billed; an event stream of version 3 that is read by sync code, left, and kept (we count it as lost
when its lease ends, the others never); embeddings and rerankers that are not wrapped; calls in
plain threads without LangChain's context, unless a handler is attached to the whole process
(`LLMCOST_ENABLED=true`); batch APIs, which LangChain's packages do not have.
"""


@dataclass(frozen=True)
class Played:
    """What a situation was billed, and what a counter says of it."""

    tokens: int
    nano: int
    said: Any


def play(situation: Situation, make: Callable[[CostTracker], Any]) -> Played:
    """Play a situation with a counter of its own."""
    with SimulatedProvider() as provider:
        tracker = CostTracker(open_ledger("memory://"))
        counter = make(tracker)
        world = World(provider, tracker, [counter] if counter is not None else [])

        async def perform() -> None:
            with world.watched():
                await situation.play(world)
            await asyncio.to_thread(provider.settled)

        asyncio.run(perform())
        gc.collect()
        lines = provider.requests
        tokens = sum(line.prompt_tokens + line.completion_tokens for line in lines)
        said = sum(e.outcome.cost for e in tracker.ledger.entries())
        tracker.close()
        return Played(tokens, provider.billed_nano, said if make is ours else counter)


def ours(tracker: CostTracker) -> Any:
    """Return our handler."""
    return CostCallbackHandler(tracker)


def our_cell(situation: Situation, played: Played) -> str:
    """Say how close we come to the bill."""
    if played.said == played.nano:
        return "exact"
    more = played.said / played.nano if played.nano else float("inf")
    return f"estimated, {more:.1f}x: {situation.reason}"


def tokens_cell(played: Played) -> str:
    """Say how many of the tokens LangChain's counter has."""
    usages = played.said.usage_metadata.values()
    counted = sum(usage["input_tokens"] + usage["output_tokens"] for usage in usages)
    return "exact" if counted == played.tokens else f"{counted} of {played.tokens} tokens"


def openai_cell(played: Played) -> str:
    """Say how many of the tokens, and how much of the bill, the other one has."""
    counted = played.said.prompt_tokens + played.said.completion_tokens
    if counted != played.tokens:
        return f"{counted} of {played.tokens} tokens"
    cost = round(played.said.total_cost * 1e9)
    return (
        "exact" if cost == played.nano else f"tokens; ${cost / 1e9:.6f} of ${played.nano / 1e9:.6f}"
    )


@pytest.mark.filterwarnings("ignore")
def test_billing_situations_side_by_side() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        community = pytest.importorskip("langchain_community.callbacks.openai_info")
    rows, exact = [], [0, 0, 0]
    for situation in SITUATIONS:
        cells = [
            our_cell(situation, play(situation, ours)),
            tokens_cell(play(situation, lambda _: UsageMetadataCallbackHandler())),
            openai_cell(play(situation, lambda _: community.OpenAICallbackHandler())),
        ]
        exact = [known + (cell == "exact") for known, cell in zip(exact, cells, strict=True)]
        rows.append(f"| {situation.name} | {' | '.join(cells)} |")
    count = len(SITUATIONS)
    names = ("CostCallbackHandler", "get_usage_metadata_callback", "get_openai_callback")
    table = [
        f"| situation | {' | '.join(f'`{name}`' for name in names)} |",
        "|---|---|---|---|",
        *rows,
        f"| **exact** | **{exact[0]} of {count}** | **{exact[1]}** | **{exact[2]}** |",
    ]
    text = HEAD + "\n".join(table) + "\n" + TAIL
    DOCS.write_text(text, encoding="utf-8")
    print("\n" + text)
