from functools import lru_cache

from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.pricing import Catalog, Match
from llmcost_plugins.pricing.entries import compile_prices
from llmcost_plugins.pricing.sources import Source, packaged_snapshot


@lru_cache
def snapshot() -> Source:
    return packaged_snapshot()


@lru_cache
def shared() -> Catalog:
    return Catalog(snapshot())


@lru_cache
def keys() -> list[str]:
    return list(snapshot().models)


FRAMEWORKS = """
    openai azure Anthropic_LLM google_genai google_vertexai bedrock amazon_bedrock mistralai
    together fireworks openrouter litellm ollama huggingface databricks nobody
"""
HINTS = st.none() | st.sampled_from(["", *FRAMEWORKS.split()])
KEYS = st.integers(0, len(keys()) - 1).map(lambda n: keys()[n])
BEFORE = ["", "models/", "openai/", "azure/", "litellm_proxy/", "my-org/", "us.", "ft:", " ", "x/"]
AFTER = ["", "-2099-01-31", "@20990131", "-0125", "-v1:0", ":free", ":8b", "-preview", "@default"]
AFTER += ["-001", "-latest", "[1m]", "/", ":org::id", "\n", "/x"]
WORDS = "gpt-4o claude sonnet 4 5 . - / : @ ft: v1:0 us. eu. anthropic. models/ 2025 0 p"
PIECES = [*WORDS.split(), "arn:aws:bedrock:us-east-1::foundation-model/"]
MADE_UP = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
VARIED = st.tuples(st.sampled_from(BEFORE), KEYS, st.sampled_from(AFTER)).map("".join)
NAMES = st.text(max_size=40) | MADE_UP | VARIED | KEYS | KEYS.map(str.upper)


@given(NAMES, HINTS | st.text(max_size=10))
def test_any_text_is_resolved_to_prices_or_to_a_reason(name: str, hint: str | None) -> None:
    found = shared().resolve(name, hint)
    assert found.name == name
    assert (found.prices is None) == bool(found.reason)
    assert (found.prices is None) == (found.match in {Match.AMBIGUOUS, Match.UNKNOWN})
    assert (found.prices is None) == (not found.rule)
    assert found.model == (name if found.prices is None else found.prices.model)
    assert len(found.candidates) <= 5
    assert found.model not in found.candidates or found.prices is None


@given(st.lists(st.tuples(NAMES, HINTS), min_size=2, max_size=6))
def test_the_answer_does_not_depend_on_what_was_asked_before(
    asked: list[tuple[str, str | None]],
) -> None:
    forwards, backwards = Catalog(snapshot()), Catalog(snapshot())
    there = [forwards.resolve(name, hint) for name, hint in asked]
    back = [backwards.resolve(name, hint) for name, hint in reversed(asked)]
    assert there == back[::-1]
    assert [shared().resolve(name, hint) for name, hint in asked] == there


@given(NAMES, HINTS)
def test_the_canonical_key_with_its_provider_has_the_same_prices(
    name: str, hint: str | None
) -> None:
    found = shared().resolve(name, hint)
    if found.prices is not None:
        stands_in = found.match is Match.STAND_IN
        serving = found.prices.provider if stands_in else found.provider
        again = shared().resolve(found.model, serving)
        assert again.prices == found.prices
        assert again.model == found.model


@given(NAMES.filter(lambda name: "free" not in name.lower()), HINTS)
def test_only_what_runs_locally_is_free(name: str, hint: str | None) -> None:
    found = shared().resolve(name, hint)
    if found.prices is not None and not found.prices.bands:
        local = {"ollama", "ollama_chat", "lm_studio", "llamafile", "lemonade"}
        assert any(found.prices.rates.values()) or found.provider in local


@given(st.text(alphabet="abc-:/", max_size=20), HINTS, st.sampled_from(["gpt-4o", "o3", "gpt-5"]))
def test_a_fine_tune_never_has_the_price_of_its_base(
    suffix: str, hint: str | None, base: str
) -> None:
    found = shared().resolve(f"ft:{base}:{suffix}", hint)
    local = found.provider == "ollama"
    assert local or found.prices is None or "ft:" in found.model


def test_every_key_with_a_price_is_exactly_itself() -> None:
    models = snapshot().models
    checked = 0
    for key, entry in models.items():
        if "alias_of" in entry or isinstance(compile_prices(key, entry), str):
            continue
        for provider in (None, str(entry["litellm_provider"])):
            found = shared().resolve(key, provider)
            assert (found.model, found.match) == (key, Match.EXACT), (key, provider)
            assert found.prices is not None
        checked += 1
    assert checked > 5000
