"""Embeddings: what is recorded, what is refused, and who is charged."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.exceptions import ModelError
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import AzureOpenAIEmbeddings, OpenAIEmbeddings
from pydantic import PrivateAttr, SecretStr

from llmcost_langchain import BudgetExceeded, CostCallbackHandler, TrackedEmbeddings
from llmcost_plugins import CostTracker, attribute, set_default_tracker
from llmcost_plugins.errors import ConfigurationError, PriceUnknown
from llmcost_plugins.ledger import Entry, open_ledger
from llmcost_plugins.pricing.policy import parse_unknown_model
from llmcost_plugins.pricing.sizes import PromptSizer
from llmcost_plugins.pricing.tokenizers import local_tokenizer
from llmcost_plugins.testing import Behavior, ModelPrice, SimulatedProvider
from llmcost_plugins.texts import TEXT_OVERHEAD, Texts
from llmcost_plugins.usage import Trust
from tests.support import (
    MakeEmbeddings,
    MakeTracker,
    entries,
    held_nano,
    only,
    recorded_nano,
    statuses,
)

SMALL = "text-embedding-3-small"
TEXTS = [f"text number {number} " * (number + 1) for number in range(7)]
NANO_PER_TOKEN = 20
"""What `SMALL` costs."""


def held_for(*texts: str) -> int:
    """Return the nano-dollars that one request of `SMALL` with these texts is held for."""
    return sum(TEXT_OVERHEAD + len(text.encode()) for text in texts) * NANO_PER_TOKEN


def budget(nano: int) -> str:
    return f"global={Decimal(nano).scaleb(-9):f}/month"


def trusts(tracker: CostTracker) -> set[Trust]:
    return {entry.outcome.usage.trust for entry in entries(tracker)}


def run_of(entry: Entry) -> str:
    return entry.call.run


def wait_for_request(provider: SimulatedProvider) -> None:
    while not provider.in_flight:
        time.sleep(0.01)


class PlainHTTP(Embeddings):
    """Embeddings that send by a client of their own, two texts a request."""

    def __init__(self, provider: SimulatedProvider, batch_size: int | None = 2) -> None:
        self.model = SMALL
        self.url = f"{provider.base_url}/embeddings"
        if batch_size:
            self.batch_size = batch_size

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        step, found = getattr(self, "batch_size", 2), []
        for start in range(0, len(texts), step):
            answer = httpx.post(
                self.url,
                json={"model": self.model, "input": texts[start : start + step]},
                headers={"authorization": "Bearer none"},
            )
            answer.raise_for_status()
            found += [one["embedding"] for one in answer.json()["data"]]
        return found

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_the_ledger_equals_the_bill_and_the_vectors_are_those_of_the_wrapped_object(
    make_embeddings: MakeEmbeddings, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    inner = make_embeddings()
    tracked = TrackedEmbeddings(inner, tracker=tracker)
    vectors, vector = tracked.embed_documents(TEXTS), tracked.embed_query("capybara")
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert statuses(tracker) == ["ok", "ok"]
    assert trusts(tracker) == {Trust.PROVIDER}
    assert {entry.call.model for entry in entries(tracker)} == {SMALL}
    assert vectors == inner.embed_documents(TEXTS)
    assert vector == inner.embed_query("capybara")


async def test_async_calls_equal_the_bill_too(
    make_embeddings: MakeEmbeddings, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    tracked = TrackedEmbeddings(make_embeddings(chunk_size=2), tracker=tracker)
    await tracked.aembed_documents(TEXTS)
    await tracked.aembed_query("capybara")
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert statuses(tracker) == ["ok"] * 5
    assert trusts(tracker) == {Trust.PROVIDER}


def test_each_request_of_a_batch_is_an_entry_and_all_of_them_are_of_one_run(
    make_embeddings: MakeEmbeddings, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    # A price at which rounding once for the whole batch would not give the provider's sum.
    tracked = TrackedEmbeddings(make_embeddings(chunk_size=3), tracker=tracker)
    tracked.embed_documents(TEXTS)
    tracked.embed_documents(TEXTS, chunk_size=2)
    assert len(provider.requests) == 7
    billed = sorted(line.cost_nano for line in provider.requests)
    assert sorted(entry.outcome.cost for entry in entries(tracker)) == billed
    assert len({run_of(entry) for entry in entries(tracker)}) == 2


def test_a_batch_that_a_budget_stops_in_the_middle_has_its_paid_part_recorded(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    limit = held_for("x" * 400) * 2
    tracker = make_tracker(budget(limit))
    tracked = TrackedEmbeddings(make_embeddings(chunk_size=1), tracker=tracker)
    with pytest.raises(BudgetExceeded):
        tracked.embed_documents(["x" * 400] * 50)
    assert 1 < len(provider.requests) < 50
    assert recorded_nano(tracker) == provider.billed_nano <= limit
    assert held_nano(tracker) == 0
    assert statuses(tracker) == ["ok"] * len(provider.requests) + ["refused"]


def test_a_refusal_is_langchains_model_error_and_nothing_is_sent(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("feature:index=0.000001/day")
    tracked = TrackedEmbeddings(make_embeddings(), tracker=tracker, feature="index")
    with pytest.raises(BudgetExceeded, match=r"'feature:index' per day.*\$0\.0000010") as caught:
        tracked.embed_query("capybara " * 100)
    assert isinstance(caught.value, ModelError)
    assert caught.value.model == SMALL
    assert provider.requests == []


def test_32_threads_on_a_budget_of_10_requests_send_exactly_10(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    one = held_for("hello")
    tracker = make_tracker(budget(10 * one))
    # The provider bills just what the bound allows, so that ten requests use the budget up.
    provider.behave(SMALL, Behavior(prompt_tokens=one // NANO_PER_TOKEN))
    tracked = TrackedEmbeddings(make_embeddings(), tracker=tracker)
    ready = threading.Barrier(32)

    def call(_: int) -> bool:
        ready.wait()
        try:
            tracked.embed_query("hello")
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        answered = sum(pool.map(call, range(32)))

    assert answered == len(provider.requests) == 10
    assert recorded_nano(tracker) == provider.billed_nano == 10 * one
    assert held_nano(tracker) == 0


async def test_32_tasks_on_a_budget_of_10_requests_send_exactly_10(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    one = held_for("hello")
    tracker = make_tracker(budget(10 * one))
    provider.behave(SMALL, Behavior(prompt_tokens=one // NANO_PER_TOKEN))
    tracked = TrackedEmbeddings(make_embeddings(), tracker=tracker)
    calls = [tracked.aembed_query("hello") for _ in range(32)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, BudgetExceeded) for result in results) == 22
    assert len(provider.requests) == 10
    assert recorded_nano(tracker) == provider.billed_nano == 10 * one


def test_a_batch_is_held_for_all_of_its_texts_not_for_the_models_limit_of_one(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    texts = ["x" * 4000] * 20  # 20,000 tokens as the provider counts; the limit of a text is 8,191
    limit = 15_000 * NANO_PER_TOKEN
    tracked = TrackedEmbeddings(make_embeddings(), tracker=make_tracker(budget(limit)))
    with pytest.raises(BudgetExceeded) as caught:
        tracked.embed_documents(texts)
    assert caught.value.refusal.needed == held_for(*texts)
    assert provider.requests == []


async def test_a_cancelled_call_is_settled_at_what_was_held(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(budget(10**9))
    provider.behave(SMALL, Behavior(delay=30))
    tracked = TrackedEmbeddings(make_embeddings(), tracker=tracker)
    task = asyncio.create_task(tracked.aembed_query("hello"))
    await asyncio.to_thread(wait_for_request, provider)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    entry = only(entries(tracker))
    await asyncio.to_thread(provider.settled)
    assert entry.outcome.status.value == "aborted"
    assert entry.outcome.usage.trust is Trust.ESTIMATED
    assert provider.billed_nano <= entry.outcome.cost == held_for("hello")
    assert held_nano(tracker) == 0


@pytest.mark.parametrize(
    ("status", "error"), [(429, openai.RateLimitError), (500, openai.InternalServerError)]
)
def test_a_request_that_the_provider_refuses_costs_nothing(
    make_embeddings: MakeEmbeddings,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    status: int,
    error: type[Exception],
) -> None:
    tracker = make_tracker(budget(10**9))
    provider.behave(SMALL, Behavior(status=status))
    with pytest.raises(error):
        TrackedEmbeddings(make_embeddings(), tracker=tracker).embed_query("hello")
    assert statuses(tracker) == ["error"]
    assert recorded_nano(tracker) == provider.billed_nano == 0
    assert held_nano(tracker) == 0


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_batch_that_fails_in_the_middle_has_what_was_billed_recorded(
    make_embeddings: MakeEmbeddings,
    tracker: CostTracker,
    provider: SimulatedProvider,
    is_async: bool,
) -> None:
    provider.behave(SMALL, Behavior(), times=2)
    provider.behave(SMALL, Behavior(status=500))
    tracked = TrackedEmbeddings(make_embeddings(chunk_size=2), tracker=tracker)

    async def embed() -> None:
        if is_async:
            await tracked.aembed_documents(TEXTS)
        else:
            tracked.embed_documents(TEXTS)

    with pytest.raises(openai.InternalServerError):
        await embed()
    assert statuses(tracker) == ["ok", "ok", "error"]
    assert recorded_nano(tracker) == provider.billed_nano > 0


def test_a_request_that_timed_out_counts_as_billed(
    make_embeddings: MakeEmbeddings, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave(SMALL, Behavior(delay=30))
    tracked = TrackedEmbeddings(make_embeddings(request_timeout=0.3), tracker=tracker)
    with pytest.raises(openai.APITimeoutError):
        tracked.embed_query("hello")
    provider.settled()
    entry = only(entries(tracker))
    assert (entry.outcome.status.value, entry.outcome.usage.trust) == ("error", Trust.ESTIMATED)
    assert provider.billed_nano <= entry.outcome.cost == held_for("hello")


def test_a_model_without_a_price_is_refused_under_a_budget_and_unpriced_without(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    inner = make_embeddings("house-embedder")
    with pytest.raises(PriceUnknown, match="house-embedder"):
        TrackedEmbeddings(inner, tracker=make_tracker(budget(10**9))).embed_query("hello")
    assert provider.requests == []


def test_a_model_without_a_price_is_counted_at_a_stated_ceiling(
    make_tracker: MakeTracker, make_embeddings: MakeEmbeddings
) -> None:
    tracker = make_tracker(budget(10**9), unknown_model=parse_unknown_model("ceiling:1,1"))
    with SimulatedProvider(prices={"house-embedder": ModelPrice(input="0.5")}) as provider:
        inner = make_embeddings("house-embedder", base_url=provider.base_url)
        TrackedEmbeddings(inner, tracker=tracker).embed_query("hello, capybara")
        assert recorded_nano(tracker) == 2 * provider.billed_nano > 0
    assert trusts(tracker) == {Trust.ESTIMATED}


def test_without_a_report_the_models_own_tokenizer_counts_and_the_entry_says_so(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tokenizer = local_tokenizer("cl100k_base")
    if tokenizer is None:
        pytest.skip("no package here brings the data of the encoding along")
    provider.behave(SMALL, Behavior(no_usage=True))
    tracker = make_tracker(budget(10**9))
    # Of these the encoding makes more tokens than the provider, which bills a token per 4 bytes.
    texts = ["7x9%q!kz", "水豚是大的"]
    TrackedEmbeddings(make_embeddings(), tracker=tracker).embed_documents(texts)
    cost = only(entries(tracker)).outcome.cost
    assert cost == sum(map(tokenizer.count, texts)) * NANO_PER_TOKEN
    assert provider.billed_nano <= cost <= held_for(*texts)
    assert trusts(tracker) == {Trust.ESTIMATED}


def test_without_a_report_or_a_tokenizer_what_was_held_counts(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker
) -> None:
    tracker = make_tracker(budget(10**9))
    with SimulatedProvider(prices={"mistral-embed": ModelPrice(input="0.10")}) as provider:
        provider.behave("mistral-embed", Behavior(no_usage=True))
        inner = make_embeddings("mistral-embed", base_url=provider.base_url)
        tracked = TrackedEmbeddings(inner, tracker=tracker, provider="mistralai")
        tracked.embed_documents(TEXTS)
        held = held_for(*TEXTS) // NANO_PER_TOKEN * 100
        assert provider.billed_nano < only(entries(tracker)).outcome.cost == held
    assert trusts(tracker) == {Trust.ESTIMATED}


class WithIds(OpenAIEmbeddings):
    """Embeddings that tokenize by themselves, as OpenAI's class does with a download."""

    def embed_documents(self, texts: list[str], *_: Any, **__: Any) -> list[list[float]]:
        ids = [[len(word) for word in text.split()] for text in texts]
        return [one.embedding for one in self.client.create(input=ids, model=self.model).data]


def test_token_ids_are_counted_one_by_one(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    needed = (3 + 2 + 2 * TEXT_OVERHEAD) * NANO_PER_TOKEN
    inner = make_embeddings(kind=WithIds)
    tracked = TrackedEmbeddings(inner, tracker=make_tracker(budget(needed - 1)))
    with pytest.raises(BudgetExceeded) as caught:
        tracked.embed_documents(["one two three", "four five"])
    assert caught.value.refusal.needed == needed
    assert provider.requests == []
    assert Texts([[1, 2, 3], [4, 5]]).size(PromptSizer()).prompt_bound == needed // NANO_PER_TOKEN
    assert Texts([[1, 2, 3], [4, 5]]).counted(SMALL) in {5, None}


@pytest.mark.parametrize("is_async", [False, True])
async def test_long_texts_that_openais_class_splits_into_token_ids_equal_the_bill(
    make_embeddings: MakeEmbeddings,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    is_async: bool,
) -> None:
    if local_tokenizer("cl100k_base") is None:  # tiktoken has it from here on
        pytest.skip("no package here brings the data of the encoding along")
    tracker = make_tracker(budget(10**9))
    inner = make_embeddings(check_embedding_ctx_length=True, embedding_ctx_length=5, chunk_size=4)
    tracked = TrackedEmbeddings(inner, tracker=tracker)
    vectors = await tracked.aembed_documents(TEXTS) if is_async else tracked.embed_documents(TEXTS)
    assert len(vectors) == len(TEXTS)
    assert len(provider.requests) > 2
    assert statuses(tracker) == ["ok"] * len(provider.requests)
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert trusts(tracker) == {Trust.PROVIDER}


class Raw(OpenAIEmbeddings):
    """Embeddings that read the headers of the answer."""

    def embed_documents(self, texts: list[str], *_: Any, **__: Any) -> list[list[float]]:
        raw = self.client.with_raw_response.create(input=texts, model=self.model)
        return [one.embedding for one in raw.parse().data]

    async def aembed_documents(self, texts: list[str], *_: Any, **__: Any) -> list[list[float]]:
        raw = await self.async_client.with_raw_response.create(input=texts, model=self.model)
        return [one.embedding for one in raw.parse().data]


async def test_raw_responses_are_read_too(
    make_embeddings: MakeEmbeddings, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    tracked = TrackedEmbeddings(make_embeddings(kind=Raw), tracker=tracker)
    tracked.embed_documents(TEXTS)
    await tracked.aembed_documents(TEXTS)
    assert len(provider.requests) == 2
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert trusts(tracker) == {Trust.PROVIDER}


class Hidden(Embeddings):
    """Embeddings that keep their client in a private attribute, and give arguments by position."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.model_name = SMALL

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [one.embedding for one in self._client.embed(texts, self.model_name).data]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class PrivateClient(OpenAIEmbeddings):
    """The same with pydantic's private attributes."""

    _client: Any = PrivateAttr()

    def embed_documents(self, texts: list[str], *_: Any, **__: Any) -> list[list[float]]:
        return [one.embedding for one in self._client.embed(texts, self.model).data]


class EmbedClient:
    def __init__(self, inner: OpenAIEmbeddings) -> None:
        self._inner = inner

    def embed(self, texts: list[str], model: str) -> Any:
        return self._inner.client.create(input=texts, model=model)


def test_clients_in_private_attributes_are_heard_too(
    make_embeddings: MakeEmbeddings, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    client = EmbedClient(make_embeddings())
    private = make_embeddings(kind=PrivateClient)
    private._client = client  # type: ignore[attr-defined]  # of its class
    for inner in (Hidden(client), private):
        TrackedEmbeddings(inner, tracker=tracker, provider="openai").embed_documents(TEXTS)
    assert private._client is client  # type: ignore[attr-defined]  # of its class
    assert len(provider.requests) == 2
    assert statuses(tracker) == ["ok", "ok"]
    assert recorded_nano(tracker) == provider.billed_nano > 0


def test_a_class_without_a_client_is_estimated_from_its_texts_in_one_entry(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(budget(10**9))
    TrackedEmbeddings(PlainHTTP(provider), tracker=tracker).embed_documents(TEXTS)
    assert len(provider.requests) == 4
    entry = only(entries(tracker))
    assert entry.outcome.usage.trust is Trust.ESTIMATED
    assert 0 < entry.outcome.cost <= held_for(*TEXTS)
    assert held_nano(tracker) == 0


async def test_its_async_calls_run_in_a_thread_and_are_estimated_too(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(budget(held_for("hello")))
    tracked = TrackedEmbeddings(PlainHTTP(provider), tracker=tracker)
    await tracked.aembed_query("hello")
    with pytest.raises(BudgetExceeded):
        await tracked.aembed_query("capybara " * 10)
    assert statuses(tracker) == ["ok", "refused"]
    assert len(provider.requests) == 1


def test_one_that_fails_costs_nothing_if_it_was_one_request_and_is_estimated_if_it_may_be_more(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(budget(10**9))
    provider.behave(SMALL, Behavior(status=500))
    for inner in (PlainHTTP(provider), PlainHTTP(provider, batch_size=None)):
        tracked = TrackedEmbeddings(inner, tracker=tracker)
        with pytest.raises(httpx.HTTPStatusError):
            tracked.embed_query("a")
    one_request = TrackedEmbeddings(PlainHTTP(provider), tracker=tracker)
    with pytest.raises(httpx.HTTPStatusError):
        one_request.embed_documents(["a", "b"])
    assert recorded_nano(tracker) == 0
    provider.reset()
    provider.behave(SMALL, Behavior(), times=1)
    provider.behave(SMALL, Behavior(status=500))
    with pytest.raises(httpx.HTTPStatusError):
        one_request.embed_documents(TEXTS)
    assert provider.billed_nano <= recorded_nano(tracker) == held_for(*TEXTS)
    assert set(statuses(tracker)) == {"error"}


class Bypassing(OpenAIEmbeddings):
    """Embeddings that do not use their client."""

    def embed_documents(self, texts: list[str], *_: Any, **__: Any) -> list[list[float]]:
        return [[0.0] for _ in texts]


def test_texts_that_are_answered_past_the_client_are_estimated_and_never_lost(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker
) -> None:
    inner = make_embeddings(kind=Bypassing)
    tracker = make_tracker(budget(held_for("hello")))
    tracked = TrackedEmbeddings(inner, tracker=tracker)
    tracked.embed_query("hello")
    assert trusts(tracker) == {Trust.ESTIMATED}
    assert recorded_nano(tracker) > 0
    assert tracked.embed_documents(TEXTS) == [[0.0]] * 7  # it is answered, so nothing is raised
    assert tracker.failures == 1


def test_no_texts_send_and_record_nothing(
    make_embeddings: MakeEmbeddings, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    for inner in (make_embeddings(), PlainHTTP(provider)):
        assert TrackedEmbeddings(inner, tracker=tracker).embed_documents([]) == []
    assert entries(tracker) == []


def test_the_wrapped_object_is_not_changed_and_its_own_calls_are_not_recorded(
    make_embeddings: MakeEmbeddings, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    inner = make_embeddings()
    before = (inner.client, inner.async_client)
    TrackedEmbeddings(inner, tracker=tracker).embed_query("hello")
    assert (inner.client, inner.async_client) == before
    inner.embed_query("hello")
    assert len(provider.requests) == 2
    assert len(entries(tracker)) == 1


def test_wrappers_of_one_object_do_not_mix_their_labels(
    make_embeddings: MakeEmbeddings, tracker: CostTracker
) -> None:
    inner = make_embeddings()
    wrappers = [TrackedEmbeddings(inner, tracker=tracker, user=f"u{number}") for number in range(4)]

    def call(number: int) -> None:
        for _ in range(5):
            wrappers[number].embed_documents(["x" * 4 * (number + 1)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(4)))
    seen = {
        (entry.call.labels.values["user"], entry.outcome.usage.input) for entry in entries(tracker)
    }
    assert seen == {("u0", 1), ("u1", 2), ("u2", 3), ("u3", 4)}
    assert len(entries(tracker)) == 20


def test_attributes_are_those_of_the_wrapped_object_but_not_what_would_send_unseen(
    make_embeddings: MakeEmbeddings, tracker: CostTracker
) -> None:
    inner = make_embeddings(dimensions=256)
    tracked = TrackedEmbeddings(inner, tracker=tracker)
    assert (tracked.model, tracked.dimensions) == (SMALL, 256)
    assert tracked.embeddings is inner
    for name in ("client", "async_client", "model_copy", "no_such_thing", "_private"):
        assert not hasattr(tracked, name)
    with pytest.raises(AttributeError, match=r"\.embeddings\.client"):
        _ = tracked.client
    inner.model = "text-embedding-3-large"
    tracked.embed_query("hello")
    assert only(entries(tracker)).call.model == "text-embedding-3-large"


def test_the_model_is_that_of_the_request_unless_the_user_states_it(
    make_embeddings: MakeEmbeddings, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    inner = make_embeddings()
    TrackedEmbeddings(inner, tracker=tracker).embed_documents(
        ["hello"], model="text-embedding-3-large"
    )
    assert only(entries(tracker)).call.model == "text-embedding-3-large"
    assert recorded_nano(tracker) == provider.billed_nano
    stated = TrackedEmbeddings(inner, tracker=tracker, model="mistral-embed", provider="mistralai")
    stated.embed_query("hello")
    assert entries(tracker)[-1].call.model == "mistral/mistral-embed"
    assert entries(tracker)[-1].call.provider == "mistral"


def test_azures_deployment_is_the_model_where_no_model_is_stated(
    make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(budget(10**9))
    common: dict[str, Any] = {
        "azure_endpoint": "http://127.0.0.1:1",
        "api_key": SecretStr("none"),
        "api_version": "2024-10-21",
        "check_embedding_ctx_length": False,
        "max_retries": 0,
    }
    nameless = AzureOpenAIEmbeddings(azure_deployment="my-deployment", **common)
    with pytest.raises(PriceUnknown, match="my-deployment"):
        TrackedEmbeddings(nameless, tracker=tracker).embed_query("hello")
    named = AzureOpenAIEmbeddings(azure_deployment="my-deployment", model=SMALL, **common)
    with pytest.raises(openai.APIConnectionError):
        TrackedEmbeddings(named, tracker=tracker).embed_query("hello")
    entry = only(entries(tracker))
    assert (entry.call.provider, entry.call.model) == ("azure", f"azure/{SMALL}")
    assert entry.outcome.cost == 0  # it was never sent
    assert provider.requests == []


def test_what_must_not_be_wrapped_is_refused_with_the_remedy(
    make_embeddings: MakeEmbeddings, tracker: CostTracker
) -> None:
    tracked = TrackedEmbeddings(make_embeddings(), tracker=tracker)

    class Cached(DeterministicFakeEmbedding):
        underlying_embeddings: Any

    refused: list[tuple[Any, str]] = [
        (tracked, "tracked already"),
        ("text-embedding-3-small", "'str' is no Embeddings"),
        (Cached(size=3, underlying_embeddings=make_embeddings()), "track what it asks instead"),
    ]
    for given, why in refused:
        with pytest.raises(ConfigurationError, match=why):
            TrackedEmbeddings(given)
    with pytest.raises(ConfigurationError, match="run"):
        TrackedEmbeddings(make_embeddings(), run="r")


class Caching(Embeddings):
    """A cache around embeddings, as `CacheBackedEmbeddings` is."""

    def __init__(self, inner: Embeddings) -> None:
        self._inner = inner
        self._known: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        missing = [text for text in texts if text not in self._known]
        if missing:
            self._known.update(zip(missing, self._inner.embed_documents(missing), strict=True))
        return [self._known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_a_cache_around_tracked_embeddings_costs_only_what_it_does_not_find(
    make_embeddings: MakeEmbeddings, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    cached = Caching(TrackedEmbeddings(make_embeddings(), tracker=tracker))
    for _ in range(3):
        cached.embed_documents(TEXTS)
    assert len(entries(tracker)) == len(provider.requests) == 1
    assert recorded_nano(tracker) == provider.billed_nano


def test_labels_come_from_the_constructor_attribute_and_the_chains_config(
    make_embeddings: MakeEmbeddings, tracker: CostTracker
) -> None:
    tracked = TrackedEmbeddings(make_embeddings(), feature="search", team="ops", tags=["t"])
    chain = RunnableLambda(lambda text: text) | RunnableLambda(tracked.embed_query)
    handler = CostCallbackHandler(tracker, feature="chat", project="p", tags=["h"])
    with attribute(team="docs"):
        chain.invoke(
            "hello",
            {"callbacks": [handler], "metadata": {"user": "u1", "prompt": "x"}, "tags": ["c"]},
        )
    labels = only(entries(tracker)).call.labels
    assert dict(labels.values) == {
        "feature": "search",
        "project": "p",
        "team": "docs",
        "user": "u1",
    }
    assert set(labels.tags) == {"t", "h", "c"}


def nested(embed: Callable[[str], Any]) -> Any:
    """A chain in which texts are embedded at several depths."""
    step = RunnableLambda(embed)
    inner = RunnableLambda(lambda text: text) | step
    return RunnableParallel(a=step, b=inner, c=RunnableLambda(inner.invoke))


@pytest.mark.parametrize("is_async", [False, True])
async def test_calls_at_any_depth_of_a_chain_are_of_its_outermost_run_and_in_the_handlers_total(
    make_embeddings: MakeEmbeddings,
    tracker: CostTracker,
    provider: SimulatedProvider,
    is_async: bool,
) -> None:
    handler = CostCallbackHandler(tracker)
    tracked = TrackedEmbeddings(make_embeddings())
    for _ in range(2):
        if is_async:
            await nested(tracked.embed_query).ainvoke("hello", {"callbacks": [handler]})
        else:
            nested(tracked.embed_query).invoke("hello", {"callbacks": [handler]})
    runs = [run_of(entry) for entry in entries(tracker)]
    assert len(runs) == 6
    assert len(set(runs)) == 2
    assert handler.total == provider.billed_usd
    assert handler.calls == 6


def test_a_budget_per_run_covers_the_embeddings_of_a_chain(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    limit = Decimal(2 * held_for("hello")).scaleb(-9)
    tracker = make_tracker(f"run={limit:f}")
    provider.behave(SMALL, Behavior(prompt_tokens=held_for("hello") // NANO_PER_TOKEN))
    tracked = TrackedEmbeddings(make_embeddings(), tracker=tracker)
    step = RunnableLambda(tracked.embed_query)
    handler = CostCallbackHandler(tracker)

    def loop(text: str) -> None:
        while True:
            step.invoke(text)

    for _ in range(2):  # each outermost run has its own
        with pytest.raises(BudgetExceeded, match="budget 'run:"):
            RunnableLambda(loop).invoke("hello", {"callbacks": [handler]})
    assert len(provider.requests) == 4


def test_it_works_in_a_vector_store_and_its_retriever(
    make_embeddings: MakeEmbeddings, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    handler = CostCallbackHandler(tracker, feature="rag")
    store = InMemoryVectorStore(TrackedEmbeddings(make_embeddings(), tracker=tracker))
    store.add_documents([Document("the capybara swims"), Document("the moon is far")])
    chain = RunnableLambda(str.lower) | store.as_retriever(search_kwargs={"k": 1})
    found = chain.invoke("THE MOON IS FAR", {"callbacks": [handler], "metadata": {"user": "u1"}})
    assert [document.page_content for document in found] == ["the moon is far"]
    stored, asked = entries(tracker)
    assert dict(stored.call.labels.values) == {}
    assert dict(asked.call.labels.values) == {"feature": "rag", "user": "u1"}
    assert recorded_nano(tracker) == provider.billed_nano


def test_without_a_tracker_or_a_handler_the_process_wide_one_records(
    make_embeddings: MakeEmbeddings, tracker: CostTracker
) -> None:
    former = set_default_tracker(tracker)
    try:
        TrackedEmbeddings(make_embeddings()).embed_query("hello")
    finally:
        set_default_tracker(former)
    assert statuses(tracker) == ["ok"]


def test_several_trackers_in_a_chain_do_not_get_each_others_calls(
    make_embeddings: MakeEmbeddings, make_tracker: MakeTracker
) -> None:
    mine, other = make_tracker(), CostTracker(open_ledger("memory://"))
    handlers: Sequence[CostCallbackHandler] = [
        CostCallbackHandler(other, team="no"),
        CostCallbackHandler(mine, user="yes"),
    ]
    step = RunnableLambda(TrackedEmbeddings(make_embeddings(), tracker=mine).embed_query)
    step.invoke("hello", {"callbacks": [*handlers]})
    assert dict(only(entries(mine)).call.labels.values) == {"user": "yes"}
    assert entries(other) == []
    assert [handler.calls for handler in handlers] == [0, 1]
