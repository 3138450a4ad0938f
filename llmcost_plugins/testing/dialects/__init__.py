"""The protocols that the simulated provider speaks, one module for each endpoint."""

from collections.abc import Mapping
from types import MappingProxyType

from llmcost_plugins.testing.dialects.base import Answer, ApiError, Call, Dialect, Event
from llmcost_plugins.testing.dialects.cohere_rerank import CohereRerank
from llmcost_plugins.testing.dialects.openai_chat import OpenAIChat
from llmcost_plugins.testing.dialects.openai_embeddings import OpenAIEmbeddings

_ALL: tuple[Dialect, ...] = (OpenAIChat(), OpenAIEmbeddings(), CohereRerank())

DIALECTS: Mapping[str, Dialect] = MappingProxyType({dialect.path: dialect for dialect in _ALL})
"""The dialects by their path."""

__all__ = ["DIALECTS", "Answer", "ApiError", "Call", "Dialect", "Event"]
