"""LangChain's own tests of embeddings, on the wrapper and on what it wraps."""

from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_openai import OpenAIEmbeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from pydantic import SecretStr

from llmcost_langchain import TrackedEmbeddings
from llmcost_plugins import CostTracker
from llmcost_plugins.testing import SimulatedProvider
from tests.support import MakeEmbeddings, recorded_nano


class Tracked(TrackedEmbeddings):
    """The wrapper as the suites make it, from the arguments of the class that it wraps."""

    def __init__(self, **params: Any) -> None:
        super().__init__(OpenAIEmbeddings(**params))


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return Tracked

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "text-embedding-3-small", "api_key": SecretStr("none")}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"OPENAI_API_KEY": "from-env", "OPENAI_ORG_ID": "org"},
            {"model": "text-embedding-3-large"},
            {"openai_api_key": "from-env", "openai_organization": "org"},
        )


class TestIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return Tracked

    @pytest.fixture
    def model(
        self, make_embeddings: MakeEmbeddings, tracker: CostTracker, provider: SimulatedProvider
    ) -> Any:
        tracked = TrackedEmbeddings(make_embeddings(), tracker=tracker)
        yield tracked
        assert recorded_nano(tracker) == provider.billed_nano > 0
