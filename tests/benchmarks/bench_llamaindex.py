"""What a call of LlamaIndex costs more with us, and who counts what in each billing situation.

The second writes docs/situations_llamaindex.md.
"""

import asyncio
import gc
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span_handlers import NullSpanHandler
from llama_index.core.llms import LLMMetadata, MockLLM
from llama_index_instrumentation import get_dispatcher

from llmcost_llamaindex import install, uninstall
from llmcost_plugins import CostTracker
from llmcost_plugins.budgets import parse_budgets
from llmcost_plugins.labels import attribute
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.testing import SimulatedProvider
from tests.benchmarks.harness import compare, tell
from tests.integration.llamaindex.situations import SITUATIONS, Situation, World

BUDGETS: Final = "global=1000000/month; user:*=100000/day; model:gpt-4o=100000/day"
CALLS: Final = 100
TOKENS: Final = 2000
DOCS: Final = Path(__file__).parents[2] / "docs" / "situations_llamaindex.md"
HEAD: Final = """# Billing situations under LlamaIndex

Written by `make bench PYTEST_ARGS="-k llamaindex"`: each situation is played twice on the
[simulated provider](testing.md), once for each counter, and compared with what
the provider billed. The other one is LlamaIndex's `TokenCountingHandler`, set as LlamaIndex's docs
say, in `Settings`; it counts tokens, of each class by the tokenizer of one model where it finds no
totals. The simulated provider has a tokenizer of its own, so that the rows of embeddings, which
the other counts by one of OpenAI's, say nothing of how it does with OpenAI.
`tests/integration/llamaindex/test_situations.py` holds our column.

"""
TAIL: Final = """
What no counter sees, so that it is in no row: tries that a client repeats by itself and that were
billed; and what a provider goes on to produce after a stream was left. LlamaIndex does not close
the connection of such a stream: Python does, when it next collects garbage. The rows of streams
that are left do that at once.
"""


class PricedMock(MockLLM):
    """A mock that says it is gpt-4o, so that it has a price."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="gpt-4o", num_output=100)


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[CostTracker]:
    made = CostTracker.from_env(
        ledger=f"sqlite:///{tmp_path / 'ledger.db'}", budgets=parse_budgets(BUDGETS)
    )
    yield made
    uninstall()
    made.close()


def test_recorder_and_gate_on_a_bare_call_of_llamaindex(tracker: CostTracker) -> None:
    bare, ours = PricedMock(max_tokens=100), PricedMock(max_tokens=100)

    def recorded() -> None:
        install(tracker)
        with attribute(user="u1"):
            for _ in range(CALLS):
                ours.complete("hi")
        uninstall()

    def plain() -> None:
        for _ in range(CALLS):
            bare.complete("hi")

    measured = compare(plain, recorded, calls=1)
    what = f"{CALLS} complete with recorder, gate, three budgets, SQLite"
    tell(what, f"{CALLS} bare MockLLM.complete", measured, "2x")


class Silent(BaseEventHandler):
    """What any handler costs with LlamaIndex: it does nothing."""

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        pass


def test_a_handler_of_llamaindex_that_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    llm, root = PricedMock(max_tokens=100), get_dispatcher()
    events, spans = [*root.event_handlers, Silent()], [*root.span_handlers, NullSpanHandler()]

    def plain() -> None:
        for _ in range(CALLS):
            llm.complete("hi")

    def handled() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(root, "event_handlers", events)
            patched.setattr(root, "span_handlers", spans)
            plain()

    measured = compare(plain, handled, calls=1)
    print(
        f"\nan event handler and a span handler of LlamaIndex that do nothing: "
        f"{measured.ratio:.2f}x of a bare MockLLM.complete ({measured.base_us / CALLS:.1f} us)"
    )


def test_a_streamed_token_of_llamaindex(tracker: CostTracker) -> None:
    llm = PricedMock(max_tokens=TOKENS)

    def read() -> None:
        deque(llm.stream_complete("x " * TOKENS), maxlen=0)

    def recorded() -> None:
        install(tracker)
        read()
        uninstall()

    measured = compare(read, recorded, calls=1)
    more = (measured.candidate_us - measured.base_us) / TOKENS
    base = measured.base_us / TOKENS
    print(
        f"\na token of stream_complete: {more:.2f} us more than bare ({base:.1f} us); target 5 us"
    )


def _bill(provider: SimulatedProvider) -> tuple[int, int]:
    tokens = sum(one.prompt_tokens + one.completion_tokens for one in provider.requests)
    return tokens, provider.billed_nano


async def _perform(situation: Situation, world: World) -> None:
    async with world.watched():
        await situation.play(world)
    await asyncio.to_thread(world.provider.settled)


def _ours(situation: Situation) -> str:
    with SimulatedProvider() as provider:
        tracker = CostTracker(open_ledger("memory://"))
        install(tracker)
        try:
            asyncio.run(_perform(situation, World(provider)))
            gc.collect()
        finally:
            uninstall()
        said = sum(entry.outcome.cost for entry in tracker.ledger.entries())
        nano = _bill(provider)[1]
        tracker.close()
    if said == nano:
        return "exact"
    more = said / nano if nano else float("inf")
    return f"estimated, {more:.1f}x: {situation.reason}"


class _Counted(World):
    """A world whose models LlamaIndex's counter watches."""

    counter: TokenCountingHandler

    def watch(self, llm: Any) -> Any:
        """Have a model tell the counter of its calls."""
        llm.callback_manager = CallbackManager([self.counter])
        return llm

    def _openai(self, kind: Any, options: dict[str, Any]) -> Any:
        return self.watch(super()._openai(kind, options))

    def claude(self, **options: Any) -> Any:
        return self.watch(super().claude(**options))

    def gemini(self, **options: Any) -> Any:
        return self.watch(super().gemini(**options))


def _tokens(situation: Situation) -> str:
    with SimulatedProvider() as provider:
        world = _Counted(provider)
        world.counter = TokenCountingHandler()
        # Engines give the models that they are given this manager, in place of the models' own.
        Settings.callback_manager = CallbackManager([world.counter])
        try:
            asyncio.run(_perform(situation, world))
        finally:
            Settings.callback_manager = CallbackManager()
        counter = world.counter
        counted = counter.total_llm_token_count + counter.total_embedding_token_count
        tokens = _bill(provider)[0]
    return "exact" if counted == tokens else f"{counted} of {tokens} tokens"


def _table(rows: Sequence[str], ours: int, theirs: int) -> str:
    count = len(SITUATIONS)
    lines = [
        "| situation | `llmcost_llamaindex.install` | `TokenCountingHandler` |",
        "|---|---|---|",
        *rows,
        f"| **exact** | **{ours} of {count}** | **{theirs}** |",
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.filterwarnings("ignore")
def test_billing_situations_of_llamaindex_side_by_side() -> None:
    rows, ours, theirs = [], 0, 0
    for situation in SITUATIONS:
        mine, other = _ours(situation), _tokens(situation)
        ours += mine == "exact"
        theirs += other == "exact"
        rows.append(f"| {situation.name} | {mine} | {other} |")
    text = HEAD + _table(rows, ours, theirs) + TAIL
    DOCS.write_text(text, encoding="utf-8")
    print("\n" + text)
