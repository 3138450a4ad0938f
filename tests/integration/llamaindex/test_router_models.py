"""Which models a router takes, what it says of them, and what it refuses."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import (
    ChatMessage,
    CompletionResponse,
    CustomLLM,
    ImageBlock,
    LLMMetadata,
    MockLLM,
    TextBlock,
)
from llama_index.llms.openai import OpenAI

from llmcost_llamaindex import FallbackRouter
from llmcost_plugins import AllModelsFailed, ConfigurationError, CostTracker, Rule
from llmcost_plugins.errors import ModelUnsuitable
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.integration.llamaindex.router_forms import ASKED, PROMPT, TOOLS, City
from tests.support import MakeTracker, entries, only, recorded_nano

MakeLLM = Callable[..., OpenAI]


class Plain(CustomLLM):
    """A user's own class: no tools, no usage, no cap."""

    name: str = "plain"
    window: int = 100_000

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.name, context_window=self.window)

    def complete(self, *_: Any, **__: Any) -> CompletionResponse:
        return CompletionResponse(text='{"name": "Paris"}')

    def stream_complete(self, *_: Any, **__: Any) -> Any:
        yield CompletionResponse(text="plain", delta="plain")


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([], "at least one model"),
        ("openai:gpt-4o", "is no list"),
        (MockLLM(), "is no list"),
        (5, "models=5 is no list"),
        ([MockEmbedding(embed_dim=2)], "a MockEmbedding, which is neither"),
        ([None], "models has None"),
        (["gpt-4o"], "'gpt-4o' cannot be made: name it 'provider:model'"),
        (["nobody:gpt-4o"], "pass LLM objects"),
        (["openai:"], "'openai:' cannot be made"),
        ([OpenAI(model="never-heard-of", api_key="sk-secret")], "a OpenAI that says nothing"),
    ],
)
def test_what_cannot_be_a_ladder_is_refused_with_the_remedy(models: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        FallbackRouter(models)
    assert "sk-secret" not in str(refused.value)


def test_without_models_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMCOST_FALLBACK_MODELS", raising=False)
    with pytest.raises(ConfigurationError, match="LLMCOST_FALLBACK_MODELS=openai:gpt-4o"):
        FallbackRouter()


def test_models_can_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("LLMCOST_FALLBACK_MODELS", "openai:gpt-4o,openai:gpt-4o-mini")
    router = FallbackRouter()
    assert [type(model) for model in router.models] == [OpenAI, OpenAI]
    assert [model.metadata.model_name for model in router.models] == ["gpt-4o", "gpt-4o-mini"]


@pytest.mark.parametrize(
    "options",
    [
        {"policy": "dearest"},
        {"policy": [Rule(models=["claude"], tasks=["x"])]},
        {"policy": ["rule"]},
        {"system_prompt": "You are a router."},
    ],
)
def test_an_argument_that_cannot_be_used_is_refused(
    options: dict[str, Any], make_llm: MakeLLM
) -> None:
    with pytest.raises(ConfigurationError):
        FallbackRouter([make_llm()], **options)


def test_the_models_of_a_router_do_not_change(make_llm: MakeLLM) -> None:
    router = FallbackRouter([make_llm()])
    with pytest.raises(ConfigurationError, match="make a new FallbackRouter"):
        router.models = []
    router.policy = "cheapest"
    assert router.policy == "cheapest"
    with pytest.raises(ConfigurationError):
        router.policy = "dearest"


def test_a_router_in_a_router_stands_for_its_models_and_one_twice_is_asked_once(
    make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(status=500))
    first, second = make_llm("gpt-4o"), make_llm("gpt-4o-mini")
    router = FallbackRouter([first, FallbackRouter([second, first])], tracker=tracker)
    assert [id(model) for model in router.models] == [id(first), id(second)]
    with pytest.raises(AllModelsFailed):
        router.chat(ASKED)
    assert [request.model for request in provider.requests] == ["gpt-4o", "gpt-4o-mini"]


def test_it_promises_what_all_of_its_models_can_do(make_llm: MakeLLM) -> None:
    both = FallbackRouter([make_llm("gpt-4o"), make_llm("gpt-4.1", max_tokens=50)]).metadata
    assert (both.context_window, both.num_output) == (128_000, 50)
    assert both.is_function_calling_model
    assert both.is_chat_model
    assert both.model_name == "gpt-4o"
    mixed = FallbackRouter([make_llm("gpt-4o"), Plain(window=5000)]).metadata
    assert mixed.context_window == 5000
    assert not mixed.is_function_calling_model


def test_tools_go_to_those_that_call_them(
    make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    router = FallbackRouter([Plain(), make_llm("gpt-4o-mini")], tracker=tracker)
    answer = router.chat_with_tools(TOOLS, "weather in Paris", tool_required=True)
    assert router.get_tool_calls_from_response(answer)[0].tool_name == "weather"
    note = answer.additional_kwargs["llmcost"]
    assert note["passed_over"] == [("plain", "ModelUnsuitable: Plain calls no tools")]
    assert router.chat(ASKED).message.content == '{"name": "Paris"}'
    with pytest.raises(ModelUnsuitable, match="Plain calls no tools"):
        FallbackRouter([Plain()], tracker=tracker).chat_with_tools(TOOLS, "weather?")
    assert len(provider.requests) == 1


def test_a_class_without_tools_makes_structures_from_text(tracker: CostTracker) -> None:
    router = FallbackRouter([Plain()], tracker=tracker)
    assert router.structured_predict(City, PROMPT, place="Paris") == City(name="Paris")
    assert PROMPT.output_parser is None  # LlamaIndex sets it on the template that it is given
    assert len(entries(tracker)) == 1


def test_a_prompt_too_long_for_a_model_goes_to_the_next(
    make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    router = FallbackRouter([Plain(window=10), make_llm("gpt-4o-mini")], tracker=tracker)
    answer = router.chat([ChatMessage("words " * 100)])
    assert answer.additional_kwargs["llmcost"]["model"] == "gpt-4o-mini"
    assert "takes prompts of 10 tokens" in answer.additional_kwargs["llmcost"]["passed_over"][0][1]
    assert len(provider.requests) == 1


def test_an_image_goes_to_one_that_sees(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker()
    blind = make_llm("gpt-3.5-turbo")
    url = "http://127.0.0.1/picture.png"
    message = ChatMessage(blocks=[TextBlock(text="What is this?"), ImageBlock(url=url)])
    FallbackRouter([blind, make_llm("gpt-4o-mini")], tracker=tracker).chat([message])
    assert [request.model for request in provider.requests] == ["gpt-4o-mini"]


def test_a_router_pickles_and_goes_on_as_it_was(
    tracker: CostTracker, provider: SimulatedProvider
) -> None:
    llm = OpenAI(model="gpt-4o", api_key="none", api_base=provider.base_url, max_retries=0)
    router = FallbackRouter([llm], tracker=tracker, policy="cheapest", stream_usage=False)
    router.chat(ASKED)
    twin = pickle.loads(pickle.dumps(router))
    assert (twin.policy, twin.stream_usage, twin.tracker) == ("cheapest", False, None)
    assert router.tracker is tracker
    twin.tracker = tracker
    twin.chat(ASKED)
    router.chat(ASKED)
    assert len(entries(tracker)) == 3
    assert recorded_nano(tracker) == provider.billed_nano
    llm._get_client().close()
    twin.models[0]._get_client().close()


def test_a_deep_copy_shares_the_models(make_llm: MakeLLM, tracker: CostTracker) -> None:
    router = FallbackRouter([make_llm()], tracker=tracker)
    router.chat(ASKED)
    twin = copy.deepcopy(router)
    twin.policy = "cheapest"
    assert twin.models[0] is router.models[0]
    assert router.policy == "ladder"
    twin.chat(ASKED)
    assert len(entries(tracker)) == 2


def test_what_it_says_of_itself_has_no_credentials() -> None:
    llm = OpenAI(model="gpt-4o", api_key="sk-secret")
    router = FallbackRouter([llm, Plain()])
    said = [json.dumps(router.to_dict()), router.to_json(), json.dumps(router.to_payload())]
    assert not any("sk-secret" in text for text in said)
    assert "gpt-4o" in said[0]
    with pytest.raises(ConfigurationError, match="FallbackRouter"):
        FallbackRouter.from_dict(router.to_dict())


def test_a_users_own_class_around_a_router_is_not_counted(
    make_llm: MakeLLM, installed: Callable[..., CostTracker], provider: SimulatedProvider
) -> None:
    class Polite(CustomLLM):
        """Asks the router for something more."""

        router: FallbackRouter

        @property
        def metadata(self) -> LLMMetadata:
            return self.router.metadata

        def complete(self, prompt: str, *_: Any, **__: Any) -> CompletionResponse:
            return self.router.complete(f"{prompt}, please")

        def stream_complete(self, prompt: str, *_: Any, **__: Any) -> Any:
            return self.router.stream_complete(f"{prompt}, please")

    tracker = installed()
    llm = Polite(router=FallbackRouter([make_llm()], tracker=tracker))
    llm.complete("hello")
    assert only(entries(tracker)).outcome.cost == provider.billed_nano
    list(llm.stream_complete("hello"))
    assert len(entries(tracker)) == 2
    assert recorded_nano(tracker) == provider.billed_nano
    assert tracker.failures == 0
