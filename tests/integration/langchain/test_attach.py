"""Recording without touching the code of an application."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers import context as tracers_context

import llmcost_langchain
from llmcost_langchain import CostCallbackHandler
from llmcost_plugins import ConfigurationError, CostTracker, set_default_tracker
from llmcost_plugins.money import nano_to_usd
from llmcost_plugins.testing import SimulatedProvider
from tests.support import MakeModel, MakeTracker, entries, only, statuses


@pytest.fixture(autouse=True)
def uninstalled() -> Iterator[None]:
    yield
    llmcost_langchain.uninstall()


@pytest.mark.parametrize("make", [CostCallbackHandler, llmcost_langchain.install])
def test_a_label_in_the_place_of_the_tracker_is_refused_at_once(make: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"write CostCallbackHandler\(tracker, feature="):
        make("chat")


def test_what_is_installed_sees_every_call_also_in_plain_threads(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    handler = llmcost_langchain.install(tracker, feature="chat")
    model = make_model()
    model.invoke("a")
    thread = threading.Thread(target=model.invoke, args=("b",))
    thread.start()
    thread.join()
    assert statuses(tracker) == ["ok", "ok"]
    assert {entry.call.labels.values["feature"] for entry in entries(tracker)} == {"chat"}
    assert handler.total == nano_to_usd(provider.billed_nano)

    llmcost_langchain.uninstall()
    model.invoke("c")
    assert len(entries(tracker)) == 2


def test_a_handler_of_the_runs_own_takes_the_place_of_the_installed_one(
    make_model: MakeModel, tracker: CostTracker
) -> None:
    llmcost_langchain.install(tracker, feature="installed")
    make_model().invoke("a", {"callbacks": [CostCallbackHandler(tracker, feature="own")]})
    assert only(entries(tracker)).call.labels.values == {"feature": "own"}


def test_installing_the_same_again_changes_nothing_and_something_else_is_refused(
    tracker: CostTracker, make_tracker: MakeTracker
) -> None:
    handler = llmcost_langchain.install(tracker, feature="chat")
    assert llmcost_langchain.install(tracker, feature="chat") is handler
    with pytest.raises(ConfigurationError, match="uninstall"):
        llmcost_langchain.install(tracker, feature="search")
    with pytest.raises(ConfigurationError, match="uninstall"):
        llmcost_langchain.install(make_tracker(""), feature="chat")


def test_installing_and_attaching_leaves_one_hook_with_langchain() -> None:
    hooks = len(tracers_context._configure_hooks)
    for _ in range(3):
        llmcost_langchain.install()
        llmcost_langchain.uninstall()
        CostCallbackHandler()
    assert len(tracers_context._configure_hooks) == hooks


@pytest.mark.parametrize("word", ["off", "no", "0", "false", ""])
def test_words_for_off_attach_nothing(
    word: str, make_model: MakeModel, tracker: CostTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = set_default_tracker(tracker)
    try:
        monkeypatch.setenv("LLMCOST_ENABLED", word)
        make_model().invoke("a")
        assert entries(tracker) == []
        monkeypatch.setenv("LLMCOST_ENABLED", "on")
        make_model().invoke("a")
        assert statuses(tracker) == ["ok"]
    finally:
        set_default_tracker(former)


def test_a_word_that_is_neither_on_nor_off_is_refused_at_the_first_run(
    make_model: MakeModel, provider: SimulatedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMCOST_ENABLED", "maybe")
    with pytest.raises(ConfigurationError, match="LLMCOST_ENABLED='maybe'"):
        make_model().invoke("a")
    assert provider.requests == []


def test_handlers_of_others_are_left_alone(make_model: MakeModel, tracker: CostTracker) -> None:
    class Other(BaseCallbackHandler):
        ends = 0

        def on_llm_end(self, *_args: object, **_kwargs: object) -> None:
            self.ends += 1

    other = Other()
    llmcost_langchain.install(tracker)
    make_model().invoke("a", {"callbacks": [other]})
    assert other.ends == 1
    assert statuses(tracker) == ["ok"]
