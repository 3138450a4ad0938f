import base64
import math
import struct

import openai
import pytest

from llmcost_plugins.testing import Behavior, SimulatedProvider

MODEL = "text-embedding-3-small"


def test_vectors_are_deterministic_of_unit_length_and_differ(client: openai.OpenAI) -> None:
    data = client.embeddings.create(model=MODEL, input=["a cat", "a dog", "a cat"]).data
    cat, dog, again = (item.embedding for item in data)
    assert len(cat) == 1536
    assert cat == again
    assert math.hypot(*cat) == pytest.approx(1)
    assert abs(sum(x * y for x, y in zip(cat, dog, strict=True))) < 0.2
    assert [item.index for item in data] == [0, 1, 2]


def test_floats_and_base64_carry_the_same_vector(client: openai.OpenAI) -> None:
    floats, packed = (
        client.embeddings.create(model=MODEL, input="x", dimensions=8, encoding_format=kind)
        for kind in ("float", "base64")
    )
    raw = base64.b64decode(str(packed.data[0].embedding))
    assert list(struct.unpack("<8f", raw)) == floats.data[0].embedding


@pytest.mark.parametrize(
    ("given", "vectors", "tokens"),
    [
        ("four byte", 1, 3),
        (["four", "fives"], 2, 3),
        ([1, 2, 3], 1, 3),
        ([[1, 2], [3, 4, 5]], 2, 5),
    ],
)
def test_tokens_are_counted_and_billed(
    provider: SimulatedProvider, client: openai.OpenAI, given: list[str], vectors: int, tokens: int
) -> None:
    answer = client.embeddings.create(model=MODEL, input=given, dimensions=2)
    assert len(answer.data) == vectors
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == tokens
    [line] = provider.requests
    assert (line.prompt_tokens, line.completion_tokens) == (tokens, 0)
    assert line.cost_nano == tokens * 20


def test_scripted_tokens_are_reported_and_billed(
    provider: SimulatedProvider, client: openai.OpenAI
) -> None:
    provider.behave(MODEL, Behavior(prompt_tokens=1_000_000))
    assert client.embeddings.create(model=MODEL, input="x").usage.total_tokens == 1_000_000
    assert provider.billed_nano == 20_000_000


@pytest.mark.parametrize("bad", ["", [], [""], [[]], [["a"]], [1.5]])
def test_a_bad_input_is_a_400(client: openai.OpenAI, bad: list[str]) -> None:
    with pytest.raises(openai.BadRequestError, match="'input'"):
        client.embeddings.create(model=MODEL, input=bad)
