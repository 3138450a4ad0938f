"""Recording without any code: one import and `LLMCOST_ENABLED`."""

import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI
from llama_index_instrumentation import get_dispatcher

from llmcost_llamaindex import install, uninstall
from llmcost_llamaindex.attach import Waiter, wait
from llmcost_plugins import CostTracker, set_default_tracker
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.testing import SimulatedProvider
from tests.support import recorded_nano, run_python, statuses

MakeLLM = Callable[..., OpenAI]

ASKED = [ChatMessage("hello")]
SCRIPT = """
import sys
import llmcost_llamaindex
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI
llm = OpenAI(model="gpt-4o", api_base=sys.argv[1], api_key="none", max_retries=0)
print(llm.chat([ChatMessage("hello")]).message.content)
"""


@pytest.fixture
def default(make_tracker: Callable[..., CostTracker]) -> Iterator[CostTracker]:
    """The tracker that the environment sets up."""
    tracker = make_tracker("global=1000")
    former = set_default_tracker(tracker)
    yield tracker
    uninstall()
    set_default_tracker(former)


@pytest.mark.parametrize("word", ["true", "1", " ON "])
def test_an_import_and_the_environment_record_every_call(
    word: str,
    default: CostTracker,
    make_llm: MakeLLM,
    provider: SimulatedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLMCOST_ENABLED", word)
    make_llm().chat(ASKED)
    list(make_llm().stream_chat(ASKED))
    assert statuses(default) == ["ok", "ok"]
    assert recorded_nano(default) == provider.billed_nano
    assert default.failures == 0


@pytest.mark.parametrize("word", ["", "false", "off", None])
def test_without_it_nothing_is_recorded(
    word: str | None, default: CostTracker, make_llm: MakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    if word is not None:
        monkeypatch.setenv("LLMCOST_ENABLED", word)
    llm = make_llm()
    llm.chat(ASKED)
    assert statuses(default) == []
    assert llm.rate_limiter is None


def test_what_was_uninstalled_is_installed_again_while_the_environment_asks_for_it(
    default: CostTracker, make_llm: MakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(default)
    uninstall()
    make_llm().chat(ASKED)
    assert statuses(default) == []
    monkeypatch.setenv("LLMCOST_ENABLED", "true")
    make_llm().chat(ASKED)
    assert statuses(default) == ["ok"]


def test_a_value_that_is_neither_on_nor_off_stops_every_call_and_is_logged_once(
    default: CostTracker,
    make_llm: MakeLLM,
    provider: SimulatedProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("LLMCOST_ENABLED", "perhaps")
    llm = make_llm()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="LLMCOST_ENABLED='perhaps' is neither"):
            llm.chat(ASKED)
    assert provider.requests == []
    assert len([one for one in caplog.records if "cannot be recorded" in one.message]) == 1
    monkeypatch.setenv("LLMCOST_ENABLED", "true")
    llm.chat(ASKED)
    assert statuses(default) == ["ok"]


def test_it_stops_embeddings_too(
    provider: SimulatedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMCOST_ENABLED", "perhaps")
    model = OpenAIEmbedding(api_base=provider.base_url, api_key="none", max_retries=0)
    with pytest.raises(ConfigurationError):
        model.get_text_embedding_batch(["hello"])
    assert provider.requests == []


async def test_it_stops_an_asynchronous_call_too(
    default: CostTracker, make_llm: MakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMCOST_ENABLED", "perhaps")
    llm = make_llm()
    with pytest.raises(ConfigurationError):
        await llm.achat(ASKED)
    monkeypatch.delenv("LLMCOST_ENABLED")
    await llm.achat(ASKED)
    assert llm.rate_limiter is None
    assert statuses(default) == []


def test_the_handler_that_waits_is_put_on_the_dispatcher_once() -> None:
    wait()
    wait()
    waiting = [one for one in get_dispatcher().span_handlers if isinstance(one, Waiter)]
    assert len(waiting) == 1


def test_a_process_that_only_imports_us_records_its_calls(
    tmp_path: Path, provider: SimulatedProvider
) -> None:
    ledger = tmp_path / "own.db"
    done = run_python(
        tmp_path,
        "-c",
        SCRIPT,
        provider.base_url,
        LLMCOST_ENABLED="true",
        LLMCOST_LEDGER=f"sqlite:///{ledger}",
        PYTHONPATH=":".join(sys.path),
    )
    assert done.stdout == "You said: hello\n", done.stderr
    tracker = CostTracker.from_env(ledger=f"sqlite:///{ledger}")
    assert statuses(tracker) == ["ok"]
    assert recorded_nano(tracker) == provider.billed_nano
    tracker.close()


def test_settings_that_cannot_be_used_stop_the_call(
    tmp_path: Path, provider: SimulatedProvider
) -> None:
    done: subprocess.CompletedProcess[str] = run_python(
        tmp_path,
        "-c",
        SCRIPT,
        provider.base_url,
        LLMCOST_ENABLED="true",
        LLMCOST_BUDGETS="no budget",
        PYTHONPATH=":".join(sys.path),
    )
    assert "ConfigurationError" in done.stderr
    assert "no budget" in done.stderr
    assert provider.requests == []


def _call_in_child(url: str, done: Any) -> None:
    answer = OpenAI(model="gpt-4o", api_base=url, api_key="none", max_retries=0).chat(ASKED)
    done.put(answer.message.content)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork"])
def test_a_forked_child_records_its_calls_once_each(
    method: str, default: CostTracker, make_llm: MakeLLM, provider: SimulatedProvider
) -> None:
    install(default)
    make_llm().chat(ASKED)
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_call_in_child, args=(provider.base_url, queue))
    child.start()
    assert queue.get(timeout=30) == "You said: hello"
    child.join(30)
    make_llm().chat(ASKED)
    assert statuses(default) == ["ok"] * 3
    assert recorded_nano(default) == provider.billed_nano
