"""Cohere's `POST /v2/rerank`."""

import re
from collections.abc import Mapping
from typing import Any

from llmcost_plugins.testing.billing import TokenCounts
from llmcost_plugins.testing.dialects.base import Answer, ApiError, Call, JsonObject
from llmcost_plugins.testing.dialects.openai_common import (
    OpenAIEndpoint,
    bad_value,
    positive_int,
    require,
)
from llmcost_plugins.testing.tokens import count_prompt

_DOCUMENTS_PER_UNIT = 100
_TOKENS_PER_PART = 500
_WORD = re.compile(r"\w+")


class CohereRerank(OpenAIEndpoint):
    """Ranks documents by the words that they share with the query, and bills search units.

    A query with up to 100 documents is one unit; a document that has more than 500 tokens together
    with the query counts as several. Units stand in the place of an answer's tokens, on the invoice
    as in `Behavior.completion_tokens`: the price of a model's `output` is that of a million units.
    """

    path = "/v2/rerank"

    def validate(self, body: Mapping[str, Any]) -> None:
        """Check the query and the documents."""
        if not isinstance(require(body, "query"), str):
            raise bad_value(param="query", expected="a string")
        documents = require(body, "documents")
        if not isinstance(documents, list) or not documents:
            raise bad_value(param="documents", expected="a non-empty array")
        if not all(isinstance(document, str) for document in documents):
            raise bad_value(param="documents", expected="strings")
        positive_int(body, "top_n")

    def answer(self, call: Call) -> Answer:
        """Rank the documents, the most alike first; equal ones stay in order."""
        query, documents = call.body["query"], call.body["documents"]
        units = call.behavior.completion_tokens
        if units is None:
            units = _units(query, documents)
        scores = [_score(query, document) for document in documents]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        meta: JsonObject = {"api_version": {"version": "2"}}
        if not call.behavior.no_usage:
            meta["billed_units"] = {"search_units": units}
        results = [{"index": index, "relevance_score": scores[index]} for index in order]
        body = {"id": call.id, "results": results[: call.body.get("top_n")], "meta": meta}
        return Answer(TokenCounts(completion=units), body)

    def error_body(self, error: ApiError) -> JsonObject:
        """Return Cohere's error object."""
        return {"message": error.message}


def _units(query: str, documents: list[str]) -> int:
    room = max(_TOKENS_PER_PART - count_prompt(query), 1)
    parts = sum(max(-(-count_prompt(document) // room), 1) for document in documents)
    return -(-parts // _DOCUMENTS_PER_UNIT)


def _score(query: str, document: str) -> float:
    asked, found = (set(_WORD.findall(text.lower())) for text in (query, document))
    return len(asked & found) / max(len(asked | found), 1)
