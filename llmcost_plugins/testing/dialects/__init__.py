"""The protocols that the simulated provider speaks, one module for each endpoint."""

from llmcost_plugins.testing.dialects.anthropic_messages import AnthropicMessages
from llmcost_plugins.testing.dialects.base import Answer, ApiError, Call, Dialect, Event
from llmcost_plugins.testing.dialects.cohere_rerank import CohereRerank
from llmcost_plugins.testing.dialects.gemini import GeminiContent, GeminiStream
from llmcost_plugins.testing.dialects.openai_chat import OpenAIChat
from llmcost_plugins.testing.dialects.openai_embeddings import OpenAIEmbeddings
from llmcost_plugins.testing.dialects.openai_responses import OpenAIResponses
from llmcost_plugins.testing.dialects.routes import Route, Routes

ROUTES = Routes(
    (
        OpenAIChat(),
        OpenAIResponses(),
        OpenAIEmbeddings(),
        AnthropicMessages(),
        GeminiContent(),
        GeminiStream(),
        CohereRerank(),
    )
)
"""The dialects by their path."""

__all__ = ["ROUTES", "Answer", "ApiError", "Call", "Dialect", "Event", "Route"]
