"""LangChain's own suite on its plain clients: what the simulated provider lets them pass.

The cases that load a picture from the web, or want files and sounds, do not apply.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from llmcost_plugins.testing import SimulatedProvider
from tests.support import OLD_OPENAI

PROVIDER = SimulatedProvider()

pytestmark = [
    # The packages keep async clients for the whole process, and so need one loop.
    pytest.mark.asyncio(loop_scope="session"),
    # The suite and the packages warn about each other, and close no client.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module", autouse=True)
def provider() -> Iterator[SimulatedProvider]:
    with PROVIDER:
        yield PROVIDER


class TestAnthropic(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        url = PROVIDER.root_url
        return {"model": "claude-haiku-4-5", "base_url": url, "api_key": "x", "max_retries": 0}

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "claude-sonnet-4-6"


class TestOpenAI(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        url = PROVIDER.base_url
        params = {"model": "gpt-4o", "base_url": url, "api_key": "x", "max_retries": 0}
        return {**params, "stream_usage": True}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "gpt-4o-mini"


@pytest.mark.skipif(OLD_OPENAI, reason="this langchain-openai sends stop sequences to responses")
class TestOpenAIResponses(TestOpenAI):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "use_responses_api": True}


class TestGemini(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatGoogleGenerativeAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        url = PROVIDER.root_url
        return {"model": "gemini-2.5-flash", "base_url": url, "api_key": "x", "max_retries": 1}
