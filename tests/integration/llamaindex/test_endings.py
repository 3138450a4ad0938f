"""Calls that end badly: what they cost, and that no failure of ours reaches the answer."""

import asyncio
import gc
import json
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from llama_index.core.llms import (
    ChatMessage,
    CompletionResponse,
    CompletionResponseGen,
    CustomLLM,
    LLMMetadata,
)
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.llms.openai import OpenAI

from llmcost_llamaindex import uninstall
from llmcost_plugins import CostTracker, LedgerUnavailable
from llmcost_plugins.ledger import Status
from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.usage import Trust, Usage
from tests.support import entries, held_nano, only, recorded_nano, run_llmcost, statuses

Install = Callable[..., CostTracker]
MakeLLM = Callable[..., OpenAI]

ASKED = [ChatMessage("hello")]
HELD = (64 + 5) * 2_500 + 200 * 10_000
"""What a call to gpt-4o with max_tokens=200 is held for: its most expensive end."""
LONG = Behavior(completion_tokens=200, chunk_delay=0.02)


@pytest.mark.parametrize("method", ["chat", "stream_chat"])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_an_error_of_the_provider_bills_nothing_and_releases_the_hold(
    status: int, method: str, make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(status=status))
    tracker = installed()
    with pytest.raises(openai.APIStatusError):
        list(getattr(make_llm(), method)(ASKED))
    outcome = only(entries(tracker)).outcome
    assert outcome.status is Status.ERROR
    assert "Error" in outcome.detail
    assert recorded_nano(tracker) == provider.billed_nano == 0
    assert held_nano(tracker) == 0


async def test_an_error_in_an_asynchronous_call_bills_nothing(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(status=500))
    tracker = installed()
    llm = make_llm()
    with pytest.raises(openai.InternalServerError):
        await llm.achat(ASKED)
    with pytest.raises(openai.InternalServerError):
        async for _ in await llm.astream_chat(ASKED):
            pass
    assert statuses(tracker) == ["error", "error"]
    assert recorded_nano(tracker) == held_nano(tracker) == 0


@pytest.mark.parametrize("method", ["chat", "stream_chat"])
def test_an_answer_that_never_came_counts_as_billed(
    method: str, make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(hang=True))
    tracker = installed()
    with pytest.raises(openai.APITimeoutError):
        list(getattr(make_llm(timeout=0.2), method)(ASKED))
    outcome = only(entries(tracker)).outcome
    assert (outcome.status, outcome.cost) == (Status.ERROR, HELD)
    assert outcome.usage.trust is Trust.ESTIMATED


def test_a_provider_that_cannot_be_reached_bills_nothing(
    make_llm: MakeLLM, installed: Install
) -> None:
    tracker = installed()
    with pytest.raises(openai.APIConnectionError):
        make_llm(api_base="http://127.0.0.1:9/v1").chat(ASKED)
    assert statuses(tracker) == ["error"]
    assert recorded_nano(tracker) == 0


def test_a_stream_that_is_cut_counts_what_arrived(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(cut_after=5, completion_tokens=100))
    tracker = installed()
    with pytest.raises(Exception, match=r"incomplete|peer closed"):
        list(make_llm().stream_chat(ASKED))
    outcome = only(entries(tracker)).outcome
    assert outcome.status is Status.ERROR
    assert outcome.usage.trust is Trust.ESTIMATED
    assert provider.billed_nano <= outcome.cost < HELD


@pytest.mark.parametrize("method", ["stream_chat", "stream_complete"])
def test_a_stream_that_is_broken_off_counts_what_was_received(
    method: str, make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", LONG)
    tracker = installed()
    asked: Any = ASKED if method == "stream_chat" else "hello"
    stream = getattr(make_llm(), method)(asked)
    for _ in range(6):
        next(stream)
    stream.close()
    outcome = only(entries(tracker)).outcome
    assert (outcome.status, outcome.usage.trust) == (Status.ABORTED, Trust.ESTIMATED)
    del stream
    gc.collect()  # only then does the client leave
    provider.settled()
    assert provider.billed_nano <= outcome.cost < HELD
    assert held_nano(tracker) == 0


async def test_an_asynchronous_stream_that_is_broken_off_counts_what_was_received(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", LONG)
    tracker = installed()
    stream: Any = await make_llm().astream_chat(ASKED)
    for _ in range(6):
        await anext(stream)
    await stream.aclose()
    outcome = only(entries(tracker)).outcome
    assert (outcome.status, outcome.usage.trust) == (Status.ABORTED, Trust.ESTIMATED)
    assert 0 < outcome.cost < HELD


def test_a_stream_that_is_left_at_its_last_chunk_is_exact(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    stream: Any = make_llm().stream_chat(ASKED)
    for chunk in stream:
        if chunk.raw.usage is not None:
            break
    stream.close()
    outcome = only(entries(tracker)).outcome
    assert (outcome.status, outcome.usage.trust) == (Status.ABORTED, Trust.PROVIDER)
    assert outcome.cost == provider.billed_nano


async def test_a_cancelled_call_counts_as_billed(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(hang=True))
    tracker = installed()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(make_llm().achat(ASKED), 0.3)
    outcome = only(entries(tracker)).outcome
    assert (outcome.status, outcome.cost) == (Status.ABORTED, HELD)


def test_a_stream_that_is_never_read_sends_nothing_and_gives_its_hold_back(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    llm = make_llm()
    stream = llm.stream_chat(ASKED)
    assert held_nano(tracker) == HELD
    del stream
    llm.chat(ASKED)  # what was abandoned is cleared at the next start
    assert statuses(tracker) == ["ok"]
    assert held_nano(tracker) == 0
    llm.stream_chat(ASKED)
    uninstall()
    assert held_nano(tracker) == 0
    assert len(provider.requests) == 1


def test_no_error_and_no_answer_is_kept_alive(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    installed()
    llm = make_llm()
    chunks = [weakref.ref(chunk.raw) for chunk in llm.stream_chat(ASKED)]
    provider.behave("*", Behavior(status=500))
    errors = []
    try:
        list(llm.stream_chat(ASKED))
    except openai.APIError as error:
        errors.append(weakref.ref(error))
    gc.collect()
    assert [ref() for ref in (*chunks, *errors)] == [None] * (len(chunks) + 1)


def test_a_ledger_that_breaks_during_a_call_does_not_cost_the_answer(
    make_llm: MakeLLM, installed: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = installed()
    llm = make_llm()
    stream: Any = llm.stream_chat(ASKED)
    next(stream)
    tracker.close()
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 1000)
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    assert list(stream)[-1].message.content == "You said: hello"
    assert tracker.failures == 1
    assert "waits in" in caplog.text
    with pytest.raises(LedgerUnavailable):  # before the call, the same failure stops it
        llm.chat(ASKED)


def test_a_handler_that_fails_is_counted_and_does_not_cost_the_answer(
    make_llm: MakeLLM, installed: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    tracker = installed()
    monkeypatch.setattr("llmcost_llamaindex._book.settle_answer", broken)
    monkeypatch.setattr("llmcost_llamaindex._book.received_bytes", broken)
    assert make_llm().chat(ASKED).message.content == "You said: hello"
    assert tracker.failures == 1
    chunks = list(make_llm().stream_chat(ASKED))
    assert chunks[-1].message.content == "You said: hello"
    assert tracker.failures == 1 + len(chunks) + 1


def test_another_process_is_told_by_the_doctor_which_handlers_have_failed(
    make_llm: MakeLLM, installed: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    installed()
    monkeypatch.setattr("llmcost_llamaindex._book.settle_answer", broken)
    make_llm().chat(ASKED)
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    done = run_llmcost(tmp_path, "doctor", "--format", "json", LLMCOST_LEDGER=ledger)
    assert done.returncode == 1
    (failure,) = (fact for fact in json.loads(done.stdout) if fact["name"] == "failure")
    assert failure["finding"] == "a LLMChatEndEvent could not be followed (RuntimeError)"
    assert failure["source"].endswith(f":{os.getpid()}")
    assert failure["remedy"]


def test_a_call_that_bypassed_its_gate_is_recorded_and_counted_as_a_failure(
    make_llm: MakeLLM,
    installed: Install,
    provider: SimulatedProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracker = installed()
    monkeypatch.setattr("llmcost_llamaindex.gate.Gates.put_on", lambda *_: None)
    make_llm().chat(ASKED)
    assert recorded_nano(tracker) == provider.billed_nano
    assert tracker.failures == 1
    assert "bypassed its gate" in caplog.text


def test_a_usage_that_cannot_be_read_is_estimated(
    make_llm: MakeLLM, installed: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ValueError

    tracker = installed()
    monkeypatch.setattr("llmcost_llamaindex._settle.read_usage", broken)
    make_llm().chat(ASKED)
    outcome = only(entries(tracker)).outcome
    assert (outcome.status, outcome.cost) == (Status.OK, HELD)
    assert outcome.usage.trust is Trust.ESTIMATED


class Noting(CustomLLM):
    """A model whose class keeps only the totals of what the provider reports."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="gpt-4o", num_output=200)

    @llm_completion_callback()
    def complete(self, *_: Any, **__: Any) -> CompletionResponse:
        totals = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
        return CompletionResponse(text="hi", additional_kwargs=totals)

    @llm_completion_callback()
    def stream_complete(self, *_: Any, **__: Any) -> CompletionResponseGen:
        return (self.complete() for _ in range(1))


def test_of_an_answer_with_totals_only_these_are_recorded_as_an_estimate(
    installed: Install,
) -> None:
    tracker = installed()
    Noting().complete("hello")
    outcome = only(entries(tracker)).outcome
    assert outcome.usage == Usage(input=10, output=4, trust=Trust.ESTIMATED)
    assert outcome.cost == 10 * 2_500 + 4 * 10_000
