"""A real client for each test."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from llama_index.llms.openai import OpenAI

from llmcost_llamaindex import install, uninstall
from llmcost_plugins import CostTracker
from llmcost_plugins.testing import SimulatedProvider

MakeLLM = Callable[..., OpenAI]
# To read the certificates takes longer than most of the tests.
TLS = httpx.create_ssl_context()


@pytest.fixture(autouse=True)
def _no_thread_outlives_its_test() -> Iterator[None]:
    """Wait for the threads of chat engines, whose errors would seem to be a later test's."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon and thread.name.startswith("Thread-"):
            thread.join(10)


@pytest.fixture
def make_llm(provider: SimulatedProvider) -> Iterator[MakeLLM]:
    """Models with clients of their own, so that no connection outlives its test."""
    clients: list[httpx.Client] = []

    def make(model: str = "gpt-4o", *, usage: bool = True, **options: Any) -> OpenAI:
        client = httpx.Client(verify=TLS)
        clients.append(client)
        defaults: dict[str, Any] = {
            "api_base": provider.base_url,
            "max_tokens": 200,
            "max_retries": 0,
        }
        if usage:
            defaults["additional_kwargs"] = {"stream_options": {"include_usage": True}}
        return OpenAI(
            model=model,
            api_key="none",
            http_client=client,
            async_http_client=httpx.AsyncClient(
                verify=TLS, limits=httpx.Limits(max_keepalive_connections=0)
            ),
            **{**defaults, **options},
        )

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def installed(make_tracker: Callable[..., CostTracker]) -> Iterator[Callable[..., CostTracker]]:
    """Make a tracker with the given budgets and install it."""

    def begin(budgets: str = "global=1000", **options: Any) -> CostTracker:
        tracker = make_tracker(budgets, **options)
        install(tracker)
        return tracker

    yield begin
    uninstall()
