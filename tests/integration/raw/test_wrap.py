"""`tracker.wrap`: what a wrapped client is, what it refuses, and what it sets."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import Any

import pytest
from anthropic import Anthropic
from openai import AsyncOpenAI, OpenAI, Stream
from openai.types.chat import ChatCompletion

from llmcost_plugins import BudgetExceeded, ConfigurationError, PriceUnknown, attribute
from llmcost_plugins.money import nano_to_usd
from llmcost_plugins.raw.requests import Api
from llmcost_plugins.raw.wrapping import _caps, _provider_of
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.integration.raw.situations import CLAUDE, GPT, SAID
from tests.support import MakeTracker, entries, held_nano, only, recorded_nano, statuses


@pytest.fixture
def openai(provider: SimulatedProvider) -> Iterator[OpenAI]:
    with OpenAI(base_url=provider.base_url, api_key="k", max_retries=0) as client:
        yield client


def test_a_wrapped_client_passes_for_the_client_and_leaves_it_alone(
    make_tracker: MakeTracker, openai: OpenAI
) -> None:
    tracker = make_tracker()
    wrapped = tracker.wrap(openai)
    assert isinstance(wrapped, OpenAI)
    assert wrapped.base_url == openai.base_url
    assert isinstance(wrapped.chat.completions.create(model=GPT, messages=SAID), ChatCompletion)
    openai.chat.completions.create(model=GPT, messages=SAID)
    assert len(entries(tracker)) == 1


def test_what_is_set_on_a_wrapped_client_or_copied_from_it_is_the_clients(
    make_tracker: MakeTracker, openai: OpenAI
) -> None:
    tracker = make_tracker()
    wrapped = tracker.wrap(openai)
    wrapped.timeout = 7
    assert openai.timeout == 7
    copy(wrapped).chat.completions.create(model=GPT, messages=SAID)
    with wrapped as entered:
        entered.responses.create(model=GPT, input="hello")
    assert openai.is_closed()
    assert len(entries(tracker)) == 2


def test_a_stream_stays_a_stream_of_the_sdk_with_its_attributes(
    make_tracker: MakeTracker, openai: OpenAI
) -> None:
    client = make_tracker().wrap(openai)
    stream = client.chat.completions.create(model=GPT, messages=SAID, stream=True)
    assert isinstance(stream, Stream)
    assert stream.response.status_code == 200
    with stream as entered:
        assert entered is stream
        assert iter(stream) is stream


def test_the_chunk_with_the_usage_that_we_asked_for_is_kept_from_the_caller(
    make_tracker: MakeTracker, openai: OpenAI
) -> None:
    bare = openai.chat.completions.create(model=GPT, messages=SAID, stream=True)
    wrapped = make_tracker().wrap(openai)
    seen = wrapped.chat.completions.create(model=GPT, messages=SAID, stream=True)
    assert [chunk.choices for chunk in seen] == [chunk.choices for chunk in bare]


def test_a_server_that_refuses_stream_options_is_not_asked_for_the_usage(
    make_tracker: MakeTracker, openai: OpenAI
) -> None:
    tracker = make_tracker()
    client = tracker.wrap(openai, stream_usage=False)
    list(client.chat.completions.create(model=GPT, messages=SAID, stream=True))
    assert only(entries(tracker)).outcome.usage.trust == "estimated"


@pytest.mark.parametrize("form", ["create", "stream", "helper", "raw", "responses", "embeddings"])
def test_a_call_that_does_not_fit_is_refused_before_anything_is_sent(
    form: str, make_tracker: MakeTracker, openai: OpenAI, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=0.00000001/day")
    client = tracker.wrap(openai)
    chat: Any = client.chat.completions

    def helper() -> None:
        with chat.stream(model=GPT, messages=SAID):
            pass

    forms: dict[str, Any] = {
        "create": lambda: chat.create(model=GPT, messages=SAID, max_tokens=10),
        "stream": lambda: chat.create(model=GPT, messages=SAID, max_tokens=10, stream=True),
        "helper": helper,
        "raw": lambda: chat.with_raw_response.create(model=GPT, messages=SAID),
        "responses": lambda: client.responses.create(model=GPT, input="hello"),
        "embeddings": lambda: client.embeddings.create(
            model="text-embedding-3-small", input="hello"
        ),
    }
    with pytest.raises(BudgetExceeded):
        forms[form]()
    assert provider.requests == []
    assert statuses(tracker) == ["refused"]
    assert held_nano(tracker) == 0


async def test_an_asynchronous_call_that_does_not_fit_is_refused_before_anything_is_sent(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    client = make_tracker("global=0.000001/day").wrap(
        AsyncOpenAI(base_url=provider.base_url, api_key="k")
    )
    async with client:
        with pytest.raises(BudgetExceeded):
            await client.chat.completions.create(model=GPT, messages=SAID)
    assert provider.requests == []


def test_a_model_without_a_price_is_refused_under_a_budget(
    make_tracker: MakeTracker, openai: OpenAI
) -> None:
    client = make_tracker("global=1/day").wrap(openai)
    with pytest.raises(PriceUnknown, match="nobody-knows"):
        client.chat.completions.create(model="nobody-knows", messages=SAID)


def test_of_thirty_two_threads_exactly_the_ten_are_sent_that_the_budget_pays_for(
    make_tracker: MakeTracker, openai: OpenAI, provider: SimulatedProvider
) -> None:
    # A call that costs what is held for it: the whole bound of its prompt, and its cap.
    bound = 64 + len("hello")
    provider.behave("*", Behavior(prompt_tokens=bound, completion_tokens=50))
    worth = bound * 2500 + 50 * 10_000
    tracker = make_tracker(f"global={nano_to_usd(10 * worth)}/day")
    client = tracker.wrap(openai)
    barrier = threading.Barrier(32)

    def ask(_: int) -> bool:
        barrier.wait()
        try:
            client.chat.completions.create(model=GPT, messages=SAID, max_tokens=50)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        sent = sum(pool.map(ask, range(32)))
    assert sent == 10
    assert len(provider.requests) == 10
    assert recorded_nano(tracker) == 10 * worth


def test_an_answer_without_a_cap_is_capped_where_the_parameter_is_certain(
    make_tracker: MakeTracker, openai: OpenAI, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(content="word " * 5000))
    # The hold of 4,096 tokens is 0.04 USD; what is left buys about 500.
    client = make_tracker("global=0.006/day").wrap(openai)
    answer = client.responses.create(model=GPT, input="hello")
    assert answer.max_output_tokens is not None
    assert 256 <= answer.max_output_tokens < 600
    assert answer.usage is not None
    assert answer.usage.output_tokens == answer.max_output_tokens


def test_a_cap_below_the_shortest_useful_answer_is_a_refusal(
    make_tracker: MakeTracker, openai: OpenAI, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=0.002/day")
    with pytest.raises(BudgetExceeded):
        tracker.wrap(openai).responses.create(model=GPT, input="hello")
    assert provider.requests == []
    assert statuses(tracker) == ["refused"]


def test_a_declared_cap_is_never_lowered(make_tracker: MakeTracker, openai: OpenAI) -> None:
    client = make_tracker("global=0.006/day").wrap(openai)
    with pytest.raises(BudgetExceeded):
        client.responses.create(model=GPT, input="hello", max_output_tokens=4000)


def test_the_name_of_the_cap_is_certain_at_openais_own_address_only() -> None:
    at_home, elsewhere = OpenAI(api_key="k"), OpenAI(api_key="k", base_url="http://localhost:1/v1")
    with at_home, elsewhere:
        assert _caps(at_home, "auto")[Api.CHAT] == "max_completion_tokens"
        assert Api.CHAT not in _caps(elsewhere, "auto")
        assert _caps(elsewhere, "max_tokens")[Api.CHAT] == "max_tokens"
        assert _caps(at_home, None) == {}


def test_the_provider_is_told_by_the_address_and_the_class() -> None:
    addresses = {
        "https://api.openai.com/v1": "openai",
        "https://openrouter.ai/api/v1": "openrouter",
        "http://localhost:8000/v1": None,
    }
    for address, provider in addresses.items():
        with OpenAI(api_key="k", base_url=address) as client:
            assert _provider_of(client) == provider
    with Anthropic(api_key="k", base_url="http://localhost:8000") as claude:
        assert _provider_of(claude) == "anthropic"


def test_a_stated_name_of_the_cap_is_sent_in_chat(
    make_tracker: MakeTracker, openai: OpenAI, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(content="word " * 5000))
    client = make_tracker("global=0.006/day").wrap(openai, cap="max_tokens")
    answer = client.chat.completions.create(model=GPT, messages=SAID)
    assert answer.choices[0].finish_reason == "length"


def test_a_stream_that_outgrows_its_hold_is_stopped_where_the_budget_ends(
    make_tracker: MakeTracker, openai: OpenAI, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(content="word " * 3000))
    tracker = make_tracker("global=0.003/day", max_output_tokens=100)
    client = tracker.wrap(openai)
    stream = client.chat.completions.create(model=GPT, messages=SAID, stream=True)
    with pytest.raises(BudgetExceeded):
        list(stream)
    assert stream.response.is_closed
    assert statuses(tracker)[0] == "aborted"
    assert held_nano(tracker) == 0


def test_labels_are_those_of_the_wrapper_and_of_the_blocks_around_the_call(
    make_tracker: MakeTracker, openai: OpenAI
) -> None:
    tracker = make_tracker()
    client = tracker.wrap(openai, feature="chat", team="a", tags=["x"])
    with attribute(team="b", user="u1", tags=["y"]):
        stream = client.chat.completions.create(model=GPT, messages=SAID, stream=True)
    list(stream)
    labels = only(entries(tracker)).call.labels
    assert labels.values == {"feature": "chat", "team": "b", "user": "u1"}
    assert set(labels.tags) == {"x", "y"}


def test_a_block_with_a_budget_of_its_own_counts_raw_calls(
    make_tracker: MakeTracker, openai: OpenAI, provider: SimulatedProvider
) -> None:
    tracker = make_tracker()
    client = tracker.wrap(openai)
    with tracker.budget("1") as spent:
        client.chat.completions.create(model=GPT, messages=SAID)
    assert spent.total == nano_to_usd(provider.billed_nano)


def test_a_prompt_of_which_the_server_keeps_a_part_is_held_for_at_the_models_limit(
    make_tracker: MakeTracker, openai: OpenAI, provider: SimulatedProvider
) -> None:
    client = make_tracker("global=0.30/day").wrap(openai)
    with pytest.raises(BudgetExceeded):
        client.responses.create(model=GPT, input="and?", previous_response_id="resp_1")
    assert provider.requests == []


@pytest.mark.parametrize("client", [None, "gpt-4o", OpenAI, object()])
def test_what_is_no_client_cannot_be_wrapped(client: object, make_tracker: MakeTracker) -> None:
    with pytest.raises(ConfigurationError, match="@track_cost"):
        make_tracker().wrap(client)


def test_methods_that_would_call_a_model_unseen_are_refused(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    with Anthropic(base_url=provider.root_url, api_key="k") as bare:
        client = make_tracker().wrap(bare)
        with pytest.raises(ConfigurationError, match="tool_runner"):
            client.beta.messages.tool_runner(model=CLAUDE, messages=SAID, max_tokens=9, tools=[])
