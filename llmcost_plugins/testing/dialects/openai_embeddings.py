"""OpenAI's `POST /v1/embeddings`."""

import base64
import hashlib
import math
import sys
from array import array
from collections.abc import Mapping
from typing import Any

from llmcost_plugins.testing.billing import TokenCounts
from llmcost_plugins.testing.dialects.base import Answer, Call
from llmcost_plugins.testing.dialects.openai_common import (
    OpenAIEndpoint,
    bad_value,
    positive_int,
    require,
)
from llmcost_plugins.testing.tokens import count_prompt

_DEFAULT_DIMENSIONS = 1536


class OpenAIEmbeddings(OpenAIEndpoint):
    """Equal inputs get equal unit vectors, different inputs nearly orthogonal ones."""

    path = "/v1/embeddings"

    def validate(self, body: Mapping[str, Any]) -> None:
        """Check the input, its encoding and the dimensions."""
        for item in _inputs(require(body, "input")):
            if not item or not _is_text_or_ids(item):
                raise bad_value(param="input", expected="non-empty strings or lists of token ids")
        positive_int(body, "dimensions")
        if body.get("encoding_format") not in (None, "float", "base64"):
            raise bad_value(param="encoding_format", expected="'float' or 'base64'")

    def answer(self, call: Call) -> Answer:
        """Embed every input."""
        behavior, inputs = call.behavior, _inputs(call.body["input"])
        prompt = behavior.prompt_tokens
        if prompt is None:
            prompt = sum(count_prompt(i) if isinstance(i, str) else len(i) for i in inputs)
        behavior.check_prompt(prompt)
        dimensions = call.body.get("dimensions") or _DEFAULT_DIMENSIONS
        packed = call.body.get("encoding_format") == "base64"
        body: dict[str, Any] = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _encode(vector, packed)}
                for index, vector in enumerate(_unit_vector(item, dimensions) for item in inputs)
            ],
            "model": call.served_model,
        }
        if not behavior.no_usage:
            body["usage"] = {"prompt_tokens": prompt, "total_tokens": prompt}
        return Answer(TokenCounts(prompt=prompt, cached=behavior.cached_tokens), body)


def _inputs(given: Any) -> list[Any]:
    """Return the inputs to embed: one string or one list of token ids is a single input."""
    if isinstance(given, list) and given and not isinstance(given[0], int):
        return given
    return [given]


def _is_text_or_ids(item: object) -> bool:
    return isinstance(item, str) or (
        isinstance(item, list) and all(isinstance(token, int) for token in item)
    )


def _unit_vector(item: object, dimensions: int) -> "array[float]":
    seed = repr(item).encode("utf-8", "surrogatepass")
    signed = array("h", hashlib.shake_256(seed).digest(2 * dimensions))
    if sys.byteorder == "big":
        signed.byteswap()
    # Odd numbers only, so that no vector can be zero.
    components = [number | 1 for number in signed]
    length = math.hypot(*components)
    return array("f", [component / length for component in components])


def _encode(vector: "array[float]", packed: bool) -> str | list[float]:
    if not packed:
        return vector.tolist()
    if sys.byteorder == "big":
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()
