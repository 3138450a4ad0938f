"""The gate: what is refused before it is sent, and that concurrent calls never overspend."""

import asyncio
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import timedelta
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.rate_limiter import BaseRateLimiter
from llama_index.llms.openai import OpenAI

from llmcost_llamaindex import BudgetGate, guard, install, uninstall
from llmcost_plugins import BudgetExceeded, CostTracker, PriceUnknown
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing.policy import parse_unknown_model
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.support import entries, held_nano, only, recorded_nano, statuses

Install = Callable[..., CostTracker]
MakeLLM = Callable[..., OpenAI]

ASKED = [ChatMessage("hello")]
HELD = 64 + 5
"""The prompt's bound: the overhead of one message and its bytes."""
FULL = Behavior(prompt_tokens=HELD, completion_tokens=200, delay=0.3)
"""Bills exactly what is held with max_tokens=200: 69 x $2.50 and 200 x $10 per million."""
COST = HELD * 2_500 + 200 * 10_000
ROOM_FOR_3 = f"global={COST * 3}E-9"


class RecordingLimiter(BaseRateLimiter):
    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[int] = []
        self.error = error
        self.tracker: CostTracker | None = None

    def acquire(self, num_tokens: int = 0) -> None:
        self.asked.append(held_nano(self.tracker) if self.tracker else num_tokens)
        if self.error:
            raise self.error

    async def async_acquire(self, num_tokens: int = 0) -> None:
        self.acquire(num_tokens)


@pytest.mark.parametrize("method", ["chat", "complete", "stream_chat", "stream_complete"])
def test_a_call_that_does_not_fit_raises_before_anything_is_sent(
    method: str, make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed("global=0.001/day")
    asked: Any = ASKED if "chat" in method else "hello"
    with pytest.raises(BudgetExceeded, match="budget 'global' per day") as caught:
        getattr(make_llm(), method)(asked)
    assert caught.value.refusal.needed == COST
    assert provider.requests == []
    assert statuses(tracker) == ["refused"]
    assert held_nano(tracker) == 0
    assert [kept.refusal for kept in tracker.tripped] == [caught.value.refusal]


async def test_an_asynchronous_call_that_does_not_fit_raises_before_anything_is_sent(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed("global=0.001/day")
    llm = make_llm()
    for call in (llm.achat, llm.astream_chat):
        with pytest.raises(BudgetExceeded):
            await call(ASKED)
    assert provider.requests == []
    assert statuses(tracker) == ["refused"]


def test_of_ten_threads_with_room_for_three_three_are_served(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", FULL)
    tracker = installed(ROOM_FOR_3)
    llm = make_llm()

    def call(_: int) -> bool:
        try:
            llm.chat(ASKED)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(call, range(10))) == 3
    assert len(provider.requests) == 3
    assert recorded_nano(tracker) == provider.billed_nano == 3 * COST


@pytest.mark.parametrize("streamed", [False, True])
async def test_of_ten_tasks_with_room_for_three_three_are_served(
    streamed: bool, make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", FULL)
    tracker = installed(ROOM_FOR_3)
    llm = make_llm()

    async def call() -> None:
        if streamed:
            async for _ in await llm.astream_chat(ASKED):
                pass
        else:
            await llm.achat(ASKED)

    done = await asyncio.gather(*(call() for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(result, BudgetExceeded) for result in done) == 7
    assert len(provider.requests) == 3
    assert recorded_nano(tracker) == provider.billed_nano == 3 * COST


async def test_a_task_waits_for_calls_in_flight_by_awaiting(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(delay=0.2))
    # Room for one hold; each call costs far less than it holds.
    tracker = installed(f"global={int(COST * 1.5)}E-9", hold_wait=timedelta(seconds=10))
    llm = make_llm()
    await asyncio.gather(*(llm.achat(ASKED) for _ in range(3)))
    assert statuses(tracker) == ["ok"] * 3
    assert recorded_nano(tracker) == provider.billed_nano


def test_the_cap_of_the_model_counts_where_openai_ignores_the_one_of_the_call(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    installed("global=0.001")
    with pytest.raises(BudgetExceeded) as caught:
        make_llm(max_tokens=200).chat(ASKED, max_tokens=5)
    assert caught.value.refusal.needed == COST
    with pytest.raises(BudgetExceeded) as caught:
        make_llm(max_tokens=None).chat(ASKED, max_tokens=200)
    assert caught.value.refusal.needed == COST
    with pytest.raises(BudgetExceeded) as caught:
        make_llm(additional_kwargs={"max_completion_tokens": 300}).chat(ASKED)
    assert caught.value.refusal.needed == COST + 100 * 10_000
    assert provider.requests == []


def test_a_model_without_a_price_is_refused_under_a_budget(installed: Install) -> None:
    tracker = installed("global=1")
    with pytest.raises(PriceUnknown, match="'unknown'"):
        MockLLM().complete("hello")
    assert entries(tracker) == []


def test_a_model_stated_to_be_free_is_recorded_as_unpriced(installed: Install) -> None:
    tracker = installed("global=1", unknown_model=parse_unknown_model("free"))
    MockLLM().complete("hello")
    outcome = only(entries(tracker)).outcome
    assert (outcome.cost, outcome.usage.trust) == (0, "unpriced")


def test_the_users_rate_limiter_is_asked_once_the_money_is_held(
    make_llm: MakeLLM, installed: Install
) -> None:
    limiter = RecordingLimiter()
    limiter.tracker = tracker = installed()
    llm = make_llm(rate_limiter=limiter)
    llm.chat(ASKED)
    list(llm.stream_chat(ASKED))
    assert limiter.asked == [COST, COST]
    assert statuses(tracker) == ["ok", "ok"]


async def test_the_users_rate_limiter_is_asked_in_asynchronous_calls(
    make_llm: MakeLLM, installed: Install
) -> None:
    limiter = RecordingLimiter()
    limiter.tracker = installed()
    await make_llm(rate_limiter=limiter).achat(ASKED)
    assert limiter.asked == [COST]


def test_the_users_rate_limiter_is_not_asked_for_a_refused_call(
    make_llm: MakeLLM, installed: Install
) -> None:
    limiter = RecordingLimiter()
    installed("global=0.001")
    with pytest.raises(BudgetExceeded):
        make_llm(rate_limiter=limiter).chat(ASKED)
    assert limiter.asked == []


def test_a_call_that_the_users_rate_limiter_stops_costs_nothing(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    with pytest.raises(TimeoutError, match="too many"):
        make_llm(rate_limiter=RecordingLimiter(TimeoutError("too many"))).chat(ASKED)
    assert provider.requests == []
    assert entries(tracker) == []
    assert held_nano(tracker) == 0


def test_a_guarded_model_refuses_calls_that_nothing_records(
    make_llm: MakeLLM, make_tracker: Install, provider: SimulatedProvider
) -> None:
    llm = guard(make_llm())
    with pytest.raises(ConfigurationError, match=r"install\(\) first"):
        llm.chat(ASKED)
    tracker = make_tracker()
    install(tracker)
    llm.chat(ASKED)
    uninstall()
    with pytest.raises(ConfigurationError):
        llm.complete("hello")
    llm.rate_limiter = None
    llm.chat(ASKED)
    assert statuses(tracker) == ["ok"]
    assert len(provider.requests) == 2


def test_a_guarded_model_keeps_its_rate_limiter_and_its_guard(
    make_llm: MakeLLM, installed: Install
) -> None:
    limiter = RecordingLimiter()
    llm = guard(guard(make_llm(rate_limiter=limiter)))
    tracker = installed()
    llm.chat(ASKED)
    assert len(limiter.asked) == 1
    assert statuses(tracker) == ["ok"]
    uninstall()
    assert llm.rate_limiter == BudgetGate(limiter, required=True)


def test_copies_and_pickles_of_a_gated_model_are_gated(
    make_llm: MakeLLM, installed: Install
) -> None:
    tracker = installed("global=0.001")
    llm = make_llm()
    with pytest.raises(BudgetExceeded):
        llm.chat(ASKED)
    copied = llm.model_copy()
    assert copied.rate_limiter == BudgetGate()
    with pytest.raises(BudgetExceeded):
        copied.chat(ASKED)
    assert pickle.loads(pickle.dumps(BudgetGate())) == BudgetGate()
    uninstall()
    copied.chat(ASKED)  # its gate is open where nothing is installed
    assert [entry.count for entry in entries(tracker)] == [2]


def test_a_gate_lets_pass_what_is_no_model_call(installed: Install) -> None:
    installed("global=0")
    copy_context().run(BudgetGate().acquire)
