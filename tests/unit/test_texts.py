"""How large embeddings and reranks can become."""

import pytest

from llmcost_plugins.pricing import Catalog, estimate
from llmcost_plugins.pricing.sizes import PromptSizer
from llmcost_plugins.texts import TEXT_OVERHEAD, Texts


def test_texts_count_by_their_bytes_and_token_ids_one_by_one() -> None:
    size = Texts(["hello", "水豚", [1, 2, 3], {"text": "x"}]).size(PromptSizer())
    assert size.prompt_bound == 5 + 6 + 3 + len('{"text": "x"}') + 4 * TEXT_OVERHEAD
    assert (size.output_cap, size.queries) == (0, 0)


def test_a_reranker_reads_its_query_with_each_document() -> None:
    size = Texts(["abc", "defg"], "query").size(PromptSizer())
    assert size.prompt_bound == 3 + 4 + 2 * 5 + 2 * TEXT_OVERHEAD


def test_the_models_limit_is_that_of_one_text_and_does_not_bound_many() -> None:
    prices = Catalog.load().resolve("text-embedding-3-small", "openai").prices
    assert prices is not None
    assert prices.max_input_tokens == 8191
    size = Texts(["x" * 8000] * 10).size(PromptSizer())
    assert estimate(size, prices, 0).nano == (80_000 + 10 * TEXT_OVERHEAD) * 20


def test_search_units_are_held_for_at_their_price_and_apart_from_other_sizes() -> None:
    prices = Catalog.load().resolve("rerank-v3.5", "cohere").prices
    assert prices is not None
    for count, units in ((1, 1), (101, 2), (250, 3)):
        size = Texts(["short"] * count, "query").size(PromptSizer())
        assert estimate(size, prices, 0).nano == units * 2_000_000


@pytest.mark.parametrize(
    ("documents", "units"),
    [
        (["short"], 1),
        (["short"] * 100, 1),
        (["short"] * 101, 2),
        (["x" * 490] * 100, 1),
        (["x" * 491] * 100, 2),
        (["x" * 4900] * 100, 10),
        ([""], 1),
    ],
)
def test_units_are_a_query_with_100_documents_of_500_tokens(
    documents: list[str], units: int
) -> None:
    assert Texts(documents, "ten bytes.").size(PromptSizer()).queries == units


def test_documents_that_are_cut_count_as_the_part_that_is_left() -> None:
    texts = Texts(["x" * 100_000] * 100, "ten bytes.", longest=980)
    assert texts.size(PromptSizer()).queries == 2
