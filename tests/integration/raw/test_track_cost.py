"""`track_cost`: what a decorated function holds, who records, and what cannot be decorated."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from openai import OpenAI

from llmcost_plugins import (
    BudgetExceeded,
    ConfigurationError,
    attribute,
    set_default_tracker,
    track_cost,
)
from llmcost_plugins.testing import SimulatedProvider
from tests.integration.raw.situations import GPT, SAID
from tests.support import MakeTracker, entries, held_nano, only, statuses


@pytest.fixture
def openai(provider: SimulatedProvider) -> Iterator[OpenAI]:
    with OpenAI(base_url=provider.base_url, api_key="k", max_retries=0) as client:
        yield client


def test_the_answer_is_passed_on_as_the_very_object(make_tracker: MakeTracker) -> None:
    answer = {"model": GPT, "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
    tracker = make_tracker()

    @track_cost(tracker, feature="chat")
    def ask(model: str, messages: Any) -> Any:  # noqa: ARG001 - read by the decorator
        """Ask."""
        return answer

    assert ask(GPT, SAID) is answer
    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")
    entry = only(entries(tracker))
    assert entry.outcome.cost == 10 * 2500 + 5 * 10_000
    assert entry.call.labels.values == {"feature": "chat"}


def test_each_kind_of_function_stays_of_its_kind(make_tracker: MakeTracker) -> None:
    track = track_cost(make_tracker())

    async def coroutine() -> None: ...
    async def async_generator() -> AsyncIterator[int]:
        yield 1

    def generator() -> Iterator[int]:
        yield 1

    assert inspect.iscoroutinefunction(track(coroutine))
    assert inspect.isasyncgenfunction(track(async_generator))
    assert inspect.isgeneratorfunction(track(generator))


def test_a_function_that_does_not_fit_is_not_run(make_tracker: MakeTracker) -> None:
    tracker = make_tracker("global=0.000001/day")
    ran: list[str] = []

    @track_cost(tracker, model=GPT)
    def ask(messages: Any) -> None:
        ran.append(messages)

    @track_cost(tracker, estimate=lambda _: {"model": GPT, "input_tokens": 900, "max_tokens": 9})
    async def guess(question: str) -> None:
        ran.append(question)

    @track_cost(tracker, model=GPT)
    def generate(messages: Any) -> Iterator[str]:
        ran.append(messages)
        yield ""

    with pytest.raises(BudgetExceeded):
        ask(SAID)
    with pytest.raises(BudgetExceeded):
        asyncio.run(guess("hello"))
    with pytest.raises(BudgetExceeded):
        list(generate(SAID))
    assert ran == []
    assert held_nano(tracker) == 0


def test_a_function_of_which_nothing_is_known_is_run_until_a_budget_is_used_up(
    make_tracker: MakeTracker, openai: OpenAI, provider: SimulatedProvider
) -> None:
    # Each answer costs 0.0000525 USD.
    tracker = make_tracker("feature:chat=0.0001/day")

    @track_cost(tracker, feature="chat")
    def ask() -> Any:
        return openai.chat.completions.create(model=GPT, messages=SAID)

    assert ask().choices
    assert ask().choices
    with pytest.raises(BudgetExceeded):
        ask()
    assert len(provider.requests) == 2
    assert statuses(tracker) == ["ok", "ok", "refused"]
    assert held_nano(tracker) == 0


def test_a_wrapped_client_within_takes_the_hold_over_and_has_the_labels(
    make_tracker: MakeTracker, openai: OpenAI, provider: SimulatedProvider
) -> None:
    # Enough for one of the two holds, not for both.
    tracker = make_tracker("global=0.00075/day")
    client = tracker.wrap(openai)

    @track_cost(tracker, feature="chat", tags=["t"])
    def ask(model: str, messages: Any, max_tokens: int) -> list[Any]:
        create = client.chat.completions.create
        return [create(model=model, messages=messages, max_tokens=max_tokens) for _ in range(2)]

    ask(GPT, SAID, 50)
    assert len(provider.requests) == len(entries(tracker)) == 2
    assert {entry.call.labels.values["feature"] for entry in entries(tracker)} == {"chat"}
    assert {entry.call.labels.tags for entry in entries(tracker)} == {("t",)}


def test_labels_of_the_function_count_before_those_around_it_and_after_those_within(
    make_tracker: MakeTracker, openai: OpenAI
) -> None:
    tracker = make_tracker()
    client = tracker.wrap(openai)

    @track_cost(tracker, feature="chat", team="a")
    def ask() -> None:
        with attribute(team="b"):
            client.chat.completions.create(model=GPT, messages=SAID)

    with attribute(feature="other", user="u1"):
        ask()
    labels = only(entries(tracker)).call.labels
    assert labels.values == {"feature": "chat", "team": "b", "user": "u1"}


def test_the_labels_of_a_generator_do_not_leak_to_its_consumer(
    make_tracker: MakeTracker, openai: OpenAI
) -> None:
    tracker = make_tracker()
    client = tracker.wrap(openai)

    @track_cost(tracker, feature="inner")
    def generate() -> Iterator[Any]:
        yield client.responses.create(model=GPT, input="a")
        yield client.responses.create(model=GPT, input="b")

    for _ in generate():
        client.responses.create(model=GPT, input="c")
    features = [entry.call.labels.values.get("feature") for entry in entries(tracker)]
    assert features == ["inner", None, "inner", None]


def test_a_generator_is_sent_values_and_errors_and_returns_as_before(
    make_tracker: MakeTracker,
) -> None:
    @track_cost(make_tracker(), model=GPT)
    def talk(messages: Any) -> Any:
        heard = yield "one"
        try:
            yield heard
        except ValueError:
            yield "mended"
        return messages

    def outer() -> Any:
        return (yield from talk("m"))

    generator = outer()
    assert next(generator) == "one"
    assert generator.send("two") == "two"
    assert generator.throw(ValueError()) == "mended"
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert end.value.value == "m"


def test_without_a_tracker_it_is_the_default_one_at_the_time_of_the_call(
    make_tracker: MakeTracker,
) -> None:
    @track_cost(feature="chat")
    def ask() -> Any:
        return {"model": GPT, "usage": {"prompt_tokens": 10, "completion_tokens": 5}}

    tracker = make_tracker()
    set_default_tracker(tracker)
    try:
        ask()
    finally:
        set_default_tracker(None)
    assert only(entries(tracker)).call.labels.values == {"feature": "chat"}


def test_a_failed_function_gives_its_hold_back(make_tracker: MakeTracker) -> None:
    tracker = make_tracker("global=1/day")

    @track_cost(tracker, model=GPT)
    def ask(messages: Any) -> None:
        raise RuntimeError(messages)

    with pytest.raises(RuntimeError):
        ask(SAID)
    assert held_nano(tracker) == 0
    assert statuses(tracker) == ["error"]


def test_what_says_nothing_of_its_usage_is_told_and_not_recorded(
    make_tracker: MakeTracker, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = make_tracker()

    @track_cost(tracker)
    def ask() -> str:
        return "an answer"

    assert ask() == "an answer"
    assert "estimate=" in caplog.text
    assert entries(tracker) == []


def test_an_answer_that_refuses_to_be_asked_is_passed_on_and_estimated(
    make_tracker: MakeTracker,
) -> None:
    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    tracker, answer = make_tracker("global=1/day"), Hostile()

    @track_cost(tracker, model=GPT)
    def ask(messages: Any) -> Any:  # noqa: ARG001 - read by the decorator
        return answer

    assert ask(SAID) is answer
    assert only(entries(tracker)).outcome.usage.trust == "estimated"
    assert held_nano(tracker) == 0


@pytest.mark.parametrize("tracker", [print, "tracker", 1])
def test_a_decorator_without_its_brackets_is_refused(tracker: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"@track_cost\(tracker"):
        track_cost(tracker)


def test_an_estimate_that_is_no_request_is_refused(make_tracker: MakeTracker) -> None:
    @track_cost(make_tracker(), estimate=lambda: 0.5)  # type: ignore[arg-type, return-value]
    def ask() -> None: ...

    with pytest.raises(ConfigurationError, match="max_tokens"):
        ask()
