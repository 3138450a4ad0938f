import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from pydantic import SecretStr

from llmcost_plugins.testing import Behavior, FakeClock, ModelPrice, SimulatedProvider

pytest_plugins = ["llmcost_plugins.testing.pytest_plugin"]

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello there"}]
PROMPT_NANO = 10 * 2500
TOKEN_NANO = 10_000
ANSWER_NANO = PROMPT_NANO + 4 * TOKEN_NANO


def ask(client: openai.OpenAI, model: str = "gpt-4o", **more: Any) -> str | None:
    answer = client.chat.completions.create(model=model, messages=HELLO, **more)
    assert isinstance(answer, ChatCompletion)
    return answer.choices[0].message.content


def post(provider: SimulatedProvider, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(provider.base_url).netloc, timeout=5)
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_a_running_provider_has_a_loopback_url_and_a_stopped_one_none() -> None:
    provider = SimulatedProvider()
    with pytest.raises(RuntimeError, match="not running"):
        _ = provider.base_url
    with provider:
        assert provider.base_url.startswith("http://127.0.0.1:")
        assert provider.base_url == f"{provider.root_url}/v1"
        with pytest.raises(RuntimeError, match="already running"):
            provider.start()
    with pytest.raises(RuntimeError, match="not running"):
        _ = provider.base_url
    provider.stop()


def test_what_was_billed_outlives_the_server_and_a_restart() -> None:
    provider = SimulatedProvider()
    for _ in range(2):
        with (
            provider,
            openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as client,
        ):
            ask(client)
    assert provider.billed_nano == 2 * ANSWER_NANO


def test_stop_is_prompt_and_leaves_no_thread_and_no_socket() -> None:
    before = set(threading.enumerate())
    provider = SimulatedProvider()
    provider.start()
    address = urlsplit(provider.base_url)
    with (
        ThreadPoolExecutor(1) as pool,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as client,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as idle,
    ):
        ask(idle)
        hanging = pool.submit(ask, client, "gpt-4o+hang=true")
        while len([t for t in threading.enumerate() if "connection" in t.name]) < 2:
            time.sleep(0.001)
        began = time.perf_counter()
        provider.stop()
        assert time.perf_counter() - began < 2
        assert isinstance(hanging.exception(5), openai.APIConnectionError)
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((str(address.hostname), address.port or 0), timeout=1)


def test_requests_show_what_was_asked_without_the_api_key(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    response = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=HELLO, max_tokens=7
    )
    [line] = provider.requests
    assert line.id == response.headers["x-request-id"]
    assert line.path == "/v1/chat/completions"
    assert (line.model, line.served_model) == ("gpt-4o", "gpt-4o-2024-08-06")
    assert (line.status_code, line.outcome, line.streamed) == (200, "complete", False)
    assert line.body["max_tokens"] == 7
    assert "authorization" not in line.headers
    assert "openai" in line.headers["user-agent"].lower()
    assert len({line, line}) == 1


def test_the_invoice_is_exact_whatever_the_decimal_context() -> None:
    with (
        SimulatedProvider(prices={"odd": ModelPrice(input="0.0005", output="3.333")}) as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as client,
        localcontext(prec=2),
    ):
        provider.behave("odd", Behavior(prompt_tokens=3, completion_tokens=1))
        ask(client, "odd")
        ask(client, "odd")
        assert [line.cost_nano for line in provider.requests] == [3334, 3334]
        assert provider.billed_nano == 6668
        assert provider.billed_usd == Decimal("0.000006668")


def test_a_header_goes_before_a_suffix_and_a_suffix_before_a_script(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("gpt-4o", Behavior(content="script"))
    header = {"x-simulate": "content=he%C3%A4der"}
    assert ask(client, "gpt-4o+content=suffix", extra_headers=header) == "heäder"
    assert ask(client, "gpt-4o+content=suffix") == "suffix"
    assert ask(client) == "script"
    assert {line.model for line in provider.requests} == {"gpt-4o"}
    provider.reset()
    assert provider.requests == []
    assert provider.billed_usd == 0
    assert ask(client) == "You said: Hello there"


@pytest.mark.parametrize(
    ("model", "headers"),
    [("gpt-4o+dealy=1", {}), ("gpt-4o", {"x-simulate": "dealy=1"})],
)
def test_an_unknown_behavior_in_a_request_is_a_400_that_names_it(
    client: openai.OpenAI, model: str, headers: dict[str, str]
) -> None:
    with pytest.raises(openai.BadRequestError, match="unknown behavior 'dealy'"):
        ask(client, model, extra_headers=headers)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_scripted_errors_arrive_as_the_clients_own_and_bill_nothing(
    provider: SimulatedProvider,
    client: openai.OpenAI,
    status: int,
    error: type[openai.APIStatusError],
) -> None:
    provider.behave("gpt-4o", Behavior(status=status), times=1)
    with pytest.raises(error, match=f"Simulated error {status}") as caught:
        ask(client, stream=False)
    assert "retry-after" not in caught.value.response.headers
    ask(client)
    failed, answered = provider.requests
    assert (failed.status_code, failed.outcome, failed.cost_nano) == (status, "error", 0)
    assert answered.cost_nano == provider.billed_nano == ANSWER_NANO


def test_a_model_without_a_price_is_not_found_and_not_billed(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, "gpt-9")
    assert caught.value.code == "model_not_found"
    assert (provider.requests[0].model, provider.billed_nano) == ("gpt-9", 0)


def test_models_lists_what_can_be_requested(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"gpt-4o", "gpt-4o-2024-08-06", "text-embedding-3-small"} <= set(names)


@pytest.mark.parametrize(
    ("path", "body", "status", "named"),
    [
        ("/v1/chat/completions", b"{", 400, "could not parse"),
        ("/v1/chat/completions", b"[]", 400, "not an object"),
        ("/v1/chat/completions", b"{}", 400, "model parameter"),
        ("/v1/nowhere", b"{}", 404, "/v1/nowhere"),
    ],
)
def test_a_broken_request_gets_an_openai_error(
    provider: SimulatedProvider, path: str, body: bytes, status: int, named: str
) -> None:
    got, answer = post(provider, path, body, authorization="Bearer x")
    assert got == status
    assert named in answer["error"]["message"]
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert provider.billed_nano == 0


@pytest.mark.parametrize("headers", [{}, {"authorization": "x"}, {"authorization": "Bearer "}])
def test_a_request_without_an_api_key_is_a_401(
    provider: SimulatedProvider, headers: dict[str, str]
) -> None:
    status, answer = post(provider, "/v1/chat/completions", b"{}", **headers)
    assert status == 401
    assert "API key" in answer["error"]["message"]


def test_a_cut_stream_bills_the_prompt_the_reasoning_and_the_chunks_sent(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("gpt-4o", Behavior(cut_after=3, completion_tokens=50, reasoning_tokens=5))
    seen: list[str | None] = []
    stream = client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
    with pytest.raises(httpx.RemoteProtocolError), stream:
        seen.extend(chunk.choices[0].delta.content for chunk in stream)
    assert "".join(text or "" for text in seen) == "You said: Hello"
    [line] = provider.requests
    assert line.outcome == "cut"
    assert (line.completion_tokens, line.reasoning_tokens) == (8, 5)
    assert line.cost_nano == PROMPT_NANO + 8 * TOKEN_NANO


@pytest.mark.parametrize("cut_after", [0, 4])
def test_a_stream_can_be_cut_before_its_first_and_after_its_last_token(
    provider: SimulatedProvider, client: openai.OpenAI, cut_after: int
) -> None:
    stream = client.chat.completions.create(
        model=f"gpt-4o+cut_after={cut_after}", messages=HELLO, stream=True
    )
    seen: list[str | None] = []
    with pytest.raises(httpx.RemoteProtocolError), stream:
        seen.extend(chunk.choices[0].finish_reason for chunk in stream)
    assert seen == [None] * (1 + cut_after)
    assert provider.requests[0].outcome == "cut"
    assert provider.requests[0].completion_tokens == cut_after


def test_a_stream_that_the_client_leaves_bills_what_was_produced(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("gpt-4o", Behavior(chunk_delay=0.02, completion_tokens=500))
    with client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True) as stream:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    [line] = provider.settled(timeout=2)
    assert line.outcome == "disconnected"
    assert 1 <= line.completion_tokens < 500
    assert line.cost_nano == PROMPT_NANO + line.completion_tokens * TOKEN_NANO


def test_a_slow_answer_that_the_client_did_not_wait_for_is_billed_in_full(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    began = time.perf_counter()
    with pytest.raises(openai.APITimeoutError):
        ask(client, "gpt-4o+delay=30", timeout=0.1)
    [line] = provider.settled(timeout=2)
    assert time.perf_counter() - began < 2
    assert (line.outcome, line.cost_nano) == ("disconnected", ANSWER_NANO)


def test_a_slow_stream_that_the_client_did_not_wait_for_bills_its_prompt(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(
            model="gpt-4o+delay=30", messages=HELLO, stream=True, timeout=0.1
        )
    [line] = provider.settled(timeout=2)
    assert (line.outcome, line.cost_nano) == ("disconnected", PROMPT_NANO)


def test_a_hanging_request_ends_with_its_client_and_bills_nothing(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    with pytest.raises(openai.APITimeoutError):
        ask(client, "gpt-4o+hang=true", timeout=0.1)
    [line] = provider.settled(timeout=2)
    assert (line.outcome, line.cost_nano) == ("disconnected", 0)


def settle_until_busy(provider: SimulatedProvider) -> None:
    while True:
        provider.settled(timeout=0.01)


def test_settled_says_when_requests_are_still_in_flight(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, client, "gpt-4o+delay=0.3")
        with pytest.raises(TimeoutError, match="1 requests still in flight"):
            settle_until_busy(provider)
        assert provider.requests == []
        [line] = provider.settled()
        assert line.outcome == "complete"
        answer.result()


def test_a_delayed_answer_comes_later(client: openai.OpenAI) -> None:
    began = time.perf_counter()
    ask(client, "gpt-4o+delay=0.1")
    assert time.perf_counter() - began >= 0.1


def test_64_clients_at_once_are_all_answered_and_billed(provider: SimulatedProvider) -> None:
    together = threading.Barrier(64)

    def work() -> None:
        address = urlsplit(provider.base_url).netloc
        connection = http.client.HTTPConnection(address, timeout=10)
        body = json.dumps({"model": "gpt-4o", "messages": HELLO})
        together.wait()
        for _ in range(5):
            connection.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer x"})
            assert connection.getresponse().read().endswith(b"}")
        connection.close()

    with ThreadPoolExecutor(64) as pool:
        for done in [pool.submit(work) for _ in range(64)]:
            done.result()
    assert len(provider.requests) == len({line.id for line in provider.requests}) == 320
    assert provider.billed_nano == 320 * ANSWER_NANO


def test_scripts_with_a_count_are_used_exactly_that_often_by_concurrent_clients(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave("gpt-4o", Behavior(content="scripted"), times=10)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(client), range(40)))
    assert answers.count("scripted") == 10


def test_a_clock_dates_the_answers() -> None:
    now = datetime(2030, 1, 2, tzinfo=UTC)
    with (
        SimulatedProvider(clock=FakeClock(now)) as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as client,
    ):
        answer = client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert answer.created == now.timestamp()


@pytest.fixture
def chat(provider: SimulatedProvider) -> Iterator[ChatOpenAI]:
    with httpx.Client() as http_client:
        yield ChatOpenAI(
            model="gpt-4o",
            base_url=provider.base_url,
            api_key=SecretStr("x"),
            max_retries=0,
            stream_usage=True,
            http_client=http_client,
        )


def test_langchain_reads_the_same_usage_plain_and_streamed(
    provider: SimulatedProvider, chat: ChatOpenAI
) -> None:
    provider.behave("gpt-4o", Behavior(prompt_tokens=100, cached_tokens=40, completion_tokens=9))
    plain = chat.invoke("Hello there")
    *_, streamed = _running_sums(chat.stream("Hello there"))
    assert plain.usage_metadata == streamed.usage_metadata
    assert plain.usage_metadata is not None
    assert plain.usage_metadata["input_token_details"]["cache_read"] == 40
    assert plain.text == streamed.text
    assert provider.billed_nano == 2 * (60 * 2500 + 40 * 1250 + 9 * TOKEN_NANO)


def _running_sums(chunks: Iterator[Any]) -> Iterator[Any]:
    total = next(chunks)
    for chunk in chunks:
        total = total + chunk
        yield total


def test_the_pytest_fixture_is_a_running_provider(simulated_provider: SimulatedProvider) -> None:
    assert simulated_provider.base_url
    assert simulated_provider.requests == []
