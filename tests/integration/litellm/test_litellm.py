"""LiteLLM's functions behind a gate, and under a logger, over the simulated provider."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import openai
import pytest

from llmcost_plugins import BudgetExceeded, ConfigurationError, attribute, track_cost
from llmcost_plugins.money import nano_to_usd
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.support import MakeTracker, entries, held_nano, only, recorded_nano, statuses

litellm = pytest.importorskip("litellm")

from llmcost_litellm import CostGate, CostLogger  # noqa: E402 - only where LiteLLM is

# LiteLLM warns of its own: of its types, its event loops, its clients that are not closed.
pytestmark = pytest.mark.filterwarnings("ignore")
SAID: Final = [{"role": "user", "content": "hello"}]
GPT: Final = "openai/gpt-4o"
CLAUDE: Final = "anthropic/claude-sonnet-4-6"


@pytest.fixture
def where(provider: SimulatedProvider) -> dict[str, Any]:
    return {"api_base": provider.base_url, "api_key": "k", "num_retries": 0}


@pytest.fixture
def callbacks() -> Iterator[list[Any]]:
    before = list(litellm.callbacks)
    yield litellm.callbacks
    litellm.callbacks[:] = before
    for name in ("success_callback", "failure_callback", "_async_success_callback"):
        getattr(litellm, name).clear()
    litellm._async_failure_callback.clear()


def sync_form(name: str, gate: CostGate, provider: SimulatedProvider) -> None:
    where: dict[str, Any] = {"api_base": provider.base_url, "api_key": "k"}
    claude = {**where, "api_base": provider.root_url}
    forms: dict[str, Callable[[], Any]] = {
        "completion": lambda: gate.completion(GPT, SAID, **where),
        "stream": lambda: list(gate.completion(model=GPT, messages=SAID, stream=True, **where)),
        "completion of Anthropic": lambda: gate.completion(model=CLAUDE, messages=SAID, **claude),
        "stream of Anthropic": lambda: list(
            gate.completion(model=CLAUDE, messages=SAID, stream=True, **claude)
        ),
        "embedding": lambda: gate.embedding(
            model="openai/text-embedding-3-small", input=["a", "bc"], **where
        ),
        "responses": lambda: gate.responses(model=GPT, input="hello", **where),
    }
    forms[name]()


async def async_form(name: str, gate: CostGate, provider: SimulatedProvider) -> None:
    where: dict[str, Any] = {"api_base": provider.base_url, "api_key": "k"}
    if name == "acompletion":
        await gate.acompletion(model=GPT, messages=SAID, **where)
    elif name == "astream":
        stream = await gate.acompletion(model=GPT, messages=SAID, stream=True, **where)
        assert [chunk async for chunk in stream]
    else:
        await gate.aembedding(model="openai/text-embedding-3-small", input=["a"], **where)


def test_a_call_that_timed_out_may_have_been_billed_and_counts(
    make_tracker: MakeTracker, provider: SimulatedProvider, where: dict[str, Any]
) -> None:
    tracker = make_tracker("global=1/day")
    provider.behave("*", Behavior(hang=True))
    with pytest.raises(litellm.Timeout):
        CostGate(tracker).completion(
            model=GPT, messages=SAID, max_tokens=100, timeout=0.3, max_retries=0, **where
        )
    assert statuses(tracker) == ["error"]
    assert recorded_nano(tracker) >= 100 * 10_000


@pytest.mark.parametrize("status", [408, 504])
def test_a_provider_that_answers_with_a_timeout_of_its_own_bills_nothing(
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    where: dict[str, Any],
    status: int,
) -> None:
    tracker = make_tracker("global=1/day")
    provider.behave("*", Behavior(status=status))
    with pytest.raises(openai.APIError):
        CostGate(tracker).completion(
            model=GPT, messages=SAID, max_tokens=100, max_retries=0, **where
        )
    assert (statuses(tracker), recorded_nano(tracker)) == (["error"], 0)


@pytest.mark.parametrize(
    "name",
    [
        "completion",
        "stream",
        "completion of Anthropic",
        "stream of Anthropic",
        "embedding",
        "responses",
        "acompletion",
        "astream",
        "aembedding",
    ],
)
def test_each_form_behind_the_gate_is_one_entry_that_agrees_with_the_bill(
    name: str, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    if name == "responses":
        pytest.importorskip("mcp", reason="litellm imports it there, and does not ask for it")
    tracker = make_tracker("global=10/day")
    gate = CostGate(tracker, feature="chat")
    with attribute(user="u1"):
        if name.startswith("a"):
            asyncio.run(async_form(name, gate, provider))
        else:
            sync_form(name, gate, provider)
    entry = only(entries(tracker))
    assert entry.outcome.cost == provider.billed_nano > 0
    assert entry.outcome.usage.trust == "provider"
    assert entry.call.labels.values == {"feature": "chat", "user": "u1"}
    assert held_nano(tracker) == 0


def test_a_call_that_does_not_fit_is_refused_before_anything_is_sent(
    make_tracker: MakeTracker, provider: SimulatedProvider, where: dict[str, Any]
) -> None:
    gate = CostGate(make_tracker("global=0.000001/day"))
    with pytest.raises(BudgetExceeded):
        gate.completion(model=GPT, messages=SAID, max_tokens=100, **where)
    with pytest.raises(BudgetExceeded):
        asyncio.run(gate.acompletion(model=GPT, messages=SAID, max_tokens=100, **where))
    assert provider.requests == []


def test_of_thirty_two_threads_exactly_the_ten_are_sent_that_the_budget_pays_for(
    make_tracker: MakeTracker, provider: SimulatedProvider, where: dict[str, Any]
) -> None:
    bound = 64 + len("hello")
    provider.behave("*", Behavior(prompt_tokens=bound, completion_tokens=50))
    worth = bound * 2500 + 50 * 10_000
    tracker = make_tracker(f"global={nano_to_usd(10 * worth)}/day")
    gate = CostGate(tracker)
    barrier = threading.Barrier(32)

    def ask(_: int) -> bool:
        barrier.wait()
        try:
            gate.completion(model=GPT, messages=SAID, max_tokens=50, **where)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        sent = sum(pool.map(ask, range(32)))
    assert sent == len(provider.requests) == 10
    assert recorded_nano(tracker) == 10 * worth


def test_an_answer_without_a_cap_gets_the_one_that_the_budget_buys(
    make_tracker: MakeTracker, provider: SimulatedProvider, where: dict[str, Any]
) -> None:
    provider.behave("*", Behavior(content="word " * 5000))
    gate = CostGate(make_tracker("global=0.006/day"))
    answer = gate.completion(model=GPT, messages=SAID, **where)
    assert answer.choices[0].finish_reason == "length"
    assert 256 <= answer.usage.completion_tokens < 600


def test_an_abandoned_stream_is_settled_with_what_was_received(
    make_tracker: MakeTracker, where: dict[str, Any]
) -> None:
    tracker = make_tracker("global=10/day")
    stream = CostGate(tracker).completion(model=GPT, messages=SAID, stream=True, **where)
    assert isinstance(stream, litellm.CustomStreamWrapper)
    next(stream)
    stream = None
    # A thread of litellm's own may hold it for a moment longer.
    until = time.monotonic() + 20
    while not statuses(tracker) and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert statuses(tracker) == ["aborted"]
    assert held_nano(tracker) == 0


def test_a_decorated_function_that_calls_litellm_is_recorded(
    make_tracker: MakeTracker, provider: SimulatedProvider, where: dict[str, Any]
) -> None:
    tracker = make_tracker("global=10/day")

    @track_cost(tracker)
    def ask(model: str, messages: Any, **options: Any) -> Any:
        return litellm.completion(model=model, messages=messages, **where, **options)

    assert ask(GPT, SAID).choices
    assert list(ask(GPT, SAID, stream=True, stream_options={"include_usage": True}))
    assert recorded_nano(tracker) == provider.billed_nano
    assert statuses(tracker) == ["ok", "ok"]


def test_a_router_stands_behind_the_gate_too(
    make_tracker: MakeTracker, provider: SimulatedProvider, where: dict[str, Any]
) -> None:
    tracker = make_tracker("global=10/day")
    deployment = {"model_name": "gpt-4o", "litellm_params": {"model": GPT, **where}}
    router = litellm.Router(model_list=[deployment])
    CostGate(tracker).around(router.completion)(model="gpt-4o", messages=SAID)
    assert only(entries(tracker)).outcome.cost == provider.billed_nano


def test_what_the_gate_does_not_know_is_refused(make_tracker: MakeTracker) -> None:
    gate = CostGate(make_tracker())
    with pytest.raises(ConfigurationError, match="acompletion"):
        gate.around(print)
    with pytest.raises(AttributeError, match="image_generation"):
        _ = gate.image_generation


def recorded_soon(tracker: Any, count: int) -> list[Any]:
    deadline = time.monotonic() + 20
    while len(entries(tracker)) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return entries(tracker)


@pytest.mark.parametrize("kind", [CostGate, CostLogger])
def test_a_label_in_the_place_of_the_tracker_is_refused_at_once(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"write {kind.__name__}\(tracker, feature="):
        kind("chat")


def test_the_logger_records_what_no_gate_has_seen(
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    where: dict[str, Any],
    callbacks: list[Any],
) -> None:
    tracker = make_tracker("global=10/day")
    callbacks.append(CostLogger(tracker, feature="batch"))
    litellm.completion(model=GPT, messages=SAID, metadata={"user": "u1", "tags": ["t"]}, **where)
    entry = only(recorded_soon(tracker, 1))
    assert entry.outcome.cost == provider.billed_nano > 0
    assert entry.call.labels.values == {"feature": "batch", "user": "u1"}
    assert entry.call.labels.tags == ("t",)
    assert tracker.budgets()[0].spent == nano_to_usd(provider.billed_nano)


def test_the_logger_records_asynchronous_calls_and_streams(
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    where: dict[str, Any],
    callbacks: list[Any],
) -> None:
    tracker = make_tracker()
    callbacks.append(CostLogger(tracker))

    async def main() -> None:
        await litellm.acompletion(model=GPT, messages=SAID, **where)
        stream = await litellm.acompletion(
            model=GPT,
            messages=SAID,
            stream=True,
            stream_options={"include_usage": True},
            **where,
        )
        _ = [chunk async for chunk in stream]
        await asyncio.to_thread(recorded_soon, tracker, 2)

    asyncio.run(main())
    assert len(entries(tracker)) == 2
    assert recorded_nano(tracker) == provider.billed_nano


def test_the_logger_records_a_failure_and_leaves_the_gates_calls_alone(
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    where: dict[str, Any],
    callbacks: list[Any],
) -> None:
    tracker = make_tracker()
    callbacks.append(CostLogger(tracker))
    CostGate(tracker).completion(model=GPT, messages=SAID, **where)
    provider.behave("*", Behavior(status=400))
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(model=GPT, messages=SAID, **where)
    # The failure is told of last, so that a second record of the first call would be there by now.
    recorded_soon(tracker, 2)
    assert statuses(tracker) == ["ok", "error"]
    assert recorded_nano(tracker) == provider.billed_nano
