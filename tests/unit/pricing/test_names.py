from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from llmcost_plugins.pricing import Catalog, Match
from llmcost_plugins.pricing.providers import provider_of
from llmcost_plugins.pricing.sources import Source, packaged_snapshot

Row = tuple[str, str | None, str]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog(packaged_snapshot())


def made_of(models: Mapping[str, Mapping[str, Any]], **aliases: str) -> Catalog:
    return Catalog(Source("test", (1,), "0" * 16, models, aliases=aliases))


def entry(provider: str, price: float = 1e-6, **more: Any) -> dict[str, Any]:
    own = {"litellm_provider": provider, "mode": "chat"}
    costs = {"input_cost_per_token": price, "output_cost_per_token": 2 * price}
    return {**own, **costs, **more}


EXACT: list[Row] = [
    # the key itself
    ("gpt-4o", None, "gpt-4o"),
    ("gpt-4o", "openai", "gpt-4o"),
    ("gpt-4o-2024-08-06", "openai", "gpt-4o-2024-08-06"),
    ("gpt-4o-mini-2024-07-18", "openai", "gpt-4o-mini-2024-07-18"),
    ("gpt-5.1-2025-11-13", "openai", "gpt-5.1-2025-11-13"),
    ("gpt-6.1-sol", "openai", "gpt-6.1-sol"),
    ("o1", None, "o1"),
    ("o4-mini-2025-04-16", "openai", "o4-mini-2025-04-16"),
    ("gpt-3.5-turbo-0125", "openai", "gpt-3.5-turbo-0125"),
    ("gpt-3.5-turbo-instruct", "openai", "gpt-3.5-turbo-instruct"),
    ("gpt-4-turbo-preview", "openai", "gpt-4-turbo-preview"),
    ("text-embedding-3-small", "openai", "text-embedding-3-small"),
    ("ft:gpt-4o-2024-08-06", "openai", "ft:gpt-4o-2024-08-06"),
    ("claude-opus-4-8", "anthropic", "claude-opus-4-8"),
    ("claude-sonnet-4-5-20250929", "anthropic", "claude-sonnet-4-5-20250929"),
    ("claude-3-7-sonnet-latest", "anthropic", "claude-3-7-sonnet-latest"),
    ("claude-mythos-preview", "anthropic", "claude-mythos-preview"),
    ("command-r-plus", None, "command-r-plus"),
    ("deepseek-chat", "deepseek", "deepseek-chat"),
    ("deepseek/deepseek-chat", "deepseek", "deepseek/deepseek-chat"),
    ("gemini-2.5-flash", None, "gemini-2.5-flash"),
    ("gemini-2.0-flash-001", "google_vertexai", "gemini-2.0-flash-001"),
    ("perplexity/sonar", "perplexity", "perplexity/sonar"),
    ("perplexity/perplexity/sonar", "perplexity", "perplexity/perplexity/sonar"),
    (
        "bedrock/invoke/anthropic.claude-3-5-sonnet-20240620-v1:0",
        None,
        "bedrock/invoke/anthropic.claude-3-5-sonnet-20240620-v1:0",
    ),
    # in other case
    ("GPT-4O", None, "gpt-4o"),
    ("OpenAI/GPT-4o", None, "gpt-4o"),
    ("Claude-Sonnet-4-5", "Anthropic", "claude-sonnet-4-5"),
    ("minimax/minimax-m3", None, "minimax/MiniMax-M3"),
    # with or without its provider
    ("openai/gpt-4o", None, "gpt-4o"),
    ("openai/gpt-4o", "openai", "gpt-4o"),
    ("anthropic/claude-sonnet-4-5", "litellm", "claude-sonnet-4-5"),
    ("gpt-4o", "azure", "azure/gpt-4o"),
    ("gpt-4o-2024-08-06", "azure", "azure/gpt-4o-2024-08-06"),
    ("gpt-35-turbo-16k-0613", "azure", "azure/gpt-35-turbo-16k-0613"),
    ("azure/gpt-4o", None, "azure/gpt-4o"),
    ("eu/gpt-4o", "azure", "azure/eu/gpt-4o"),
    ("azure/eu/gpt-4o", None, "azure/eu/gpt-4o"),
    ("model-router", "azure", "azure/model-router"),
    ("gemini-2.5-flash", "google_genai", "gemini/gemini-2.5-flash"),
    ("gemini-2.5-pro-preview-06-05", "google_genai", "gemini/gemini-2.5-pro-preview-06-05"),
    ("gemini/gemini-2.5-flash", None, "gemini/gemini-2.5-flash"),
    ("vertex_ai/gemini-2.5-flash", None, "gemini-2.5-flash"),
    ("gemini-3.8-flash", "google_vertexai", "gemini-3.8-flash"),
    ("claude-sonnet-4-5@20250929", "google_vertexai", "vertex_ai/claude-sonnet-4-5@20250929"),
    ("claude-opus-4-8@default", "google_vertexai", "vertex_ai/claude-opus-4-8@default"),
    ("mistral-large-2411", "google_vertexai", "vertex_ai/mistral-large-2411"),
    (
        "meta/llama-3.3-70b-instruct-maas",
        "google_vertexai",
        "vertex_ai/meta/llama-3.3-70b-instruct-maas",
    ),
    ("mistral-large-latest", "mistral", "mistral/mistral-large-latest"),
    ("mistral-medium-2505", "mistral", "mistral/mistral-medium-2505"),
    ("mistral-large-4", "mistral", "mistral/mistral-large-4"),
    ("llama-3.3-70b-versatile", "groq", "groq/llama-3.3-70b-versatile"),
    ("openai/gpt-oss-120b", "groq", "groq/openai/gpt-oss-120b"),
    ("qwen/qwen3-32b", "groq", "groq/qwen/qwen3-32b"),
    ("grok-4-0709", "xai", "xai/grok-4-0709"),
    ("grok-4.7", "xai", "xai/grok-4.7"),
    ("deepseek-coder", "deepseek", "deepseek/deepseek-coder"),
    ("deepseek-ai/DeepSeek-V3", "together", "together_ai/deepseek-ai/DeepSeek-V3"),
    ("moonshotai/Kimi-K3", "together", "together_ai/moonshotai/Kimi-K3"),
    (
        "accounts/fireworks/models/kimi-k3",
        "fireworks",
        "fireworks_ai/accounts/fireworks/models/kimi-k3",
    ),
    ("accounts/fireworks/models/kimi-k3", None, "fireworks_ai/accounts/fireworks/models/kimi-k3"),
    ("sonar-pro", "perplexity", "perplexity/sonar-pro"),
    ("ibm/granite-3-8b-instruct", "ibm", "watsonx/ibm/granite-3-8b-instruct"),
    ("databricks-claude-sonnet-4-5", "databricks", "databricks/databricks-claude-sonnet-4-5"),
    ("anthropic/claude-sonnet-4.5", "openrouter", "openrouter/anthropic/claude-sonnet-4.5"),
    ("openai/gpt-4o", "openrouter", "openrouter/openai/gpt-4o"),
    ("openrouter/x-ai/grok-4", None, "openrouter/x-ai/grok-4"),
    ("gpt-5.5", "github-copilot", "github_copilot/gpt-5.5"),
    ("qwen-max", "tongyi", "dashscope/qwen-max"),
    # Bedrock: the regions of a profile belong to the key
    (
        "anthropic.claude-3-haiku-20240307-v1:0",
        "amazon_bedrock",
        "anthropic.claude-3-haiku-20240307-v1:0",
    ),
    ("us.anthropic.claude-opus-4-8", "amazon_bedrock", "us.anthropic.claude-opus-4-8"),
    ("us.anthropic.claude-opus-4-8", None, "us.anthropic.claude-opus-4-8"),
    ("bedrock/us.anthropic.claude-opus-4-8", None, "us.anthropic.claude-opus-4-8"),
    ("global.anthropic.claude-opus-5-5", "amazon_bedrock", "global.anthropic.claude-opus-5-5"),
    ("us-gov.anthropic.claude-opus-5", "amazon_bedrock", "us-gov.anthropic.claude-opus-5"),
    ("us.anthropic.claude-opus-5-5", "anthropic-bedrock", "us.anthropic.claude-opus-5-5"),
    ("openai.gpt-5.5", "openai-mantle", "bedrock_mantle/openai.gpt-5.5"),
    (
        "us-east-1/meta.llama3-70b-instruct-v1:0",
        "bedrock",
        "bedrock/us-east-1/meta.llama3-70b-instruct-v1:0",
    ),
    # free at OpenRouter because the map says so for that very key
    ("google/gemma-4-31b-it:free", "openrouter", "openrouter/google/gemma-4-31b-it:free"),
]


@pytest.mark.parametrize(("name", "provider", "model"), EXACT)
def test_a_key_of_the_map_is_exact_with_or_without_its_provider(
    catalog: Catalog, name: str, provider: str | None, model: str
) -> None:
    found = catalog.resolve(name, provider)
    assert (found.model, found.match) == (model, Match.EXACT)
    assert found.match.is_certain
    assert found.prices is not None
    assert found.prices.model == model


OPUS = "us.anthropic.claude-opus-4-5-20251101-v1:0"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
LLAMA = "meta.llama3-70b-instruct-v1:0"
ALIAS: list[Row] = [
    # what clients and proxies wrap around a name
    ("models/gemini-2.5-flash", "google_genai", "gemini/gemini-2.5-flash"),
    ("models/gemini-2.5-flash", None, "gemini/gemini-2.5-flash"),
    ("models/gemini-2.5-flash", "google_vertexai", "gemini-2.5-flash"),
    ("models/gemini-2.5-flash", "openai", "gemini/gemini-2.5-flash"),
    ("publishers/google/models/gemini-2.5-pro", "google_vertexai", "gemini-2.5-pro"),
    (
        "projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro",
        "google_genai",
        "gemini-2.5-pro",
    ),
    (
        "publishers/anthropic/models/claude-sonnet-4-5@20250929",
        None,
        "vertex_ai/claude-sonnet-4-5@20250929",
    ),
    (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{OPUS}", "amazon_bedrock", OPUS),
    (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{OPUS}", "litellm", OPUS),
    (f"bedrock/arn:aws:bedrock:us-east-1:123456789012:inference-profile/{OPUS}", None, OPUS),
    (f"bedrock/converse/arn:aws:bedrock:eu-west-1:1:inference-profile/{OPUS}", None, OPUS),
    (f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}", "amazon_bedrock", HAIKU),
    (
        f"arn:aws:bedrock:sa-east-1::foundation-model/{LLAMA}",
        "amazon_bedrock",
        f"bedrock/sa-east-1/{LLAMA}",
    ),
    (
        "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-opus-5",
        None,
        "bedrock/us-gov-west-1/anthropic.claude-opus-5",
    ),
    ("litellm_proxy/gpt-4o", None, "gpt-4o"),
    ("litellm_proxy/azure/gpt-4o", "openailike", "azure/gpt-4o"),
    (" gpt-4o\n", "openai", "gpt-4o"),
    ("openai:gpt-4o", None, "gpt-4o"),
    ("google_genai:gemini-2.5-flash", None, "gemini/gemini-2.5-flash"),
    ("groq:llama-3.1-8b-instant", None, "groq/llama-3.1-8b-instant"),
    # LiteLLM's routes
    ("bedrock/converse/us.anthropic.claude-opus-4-8", None, "us.anthropic.claude-opus-4-8"),
    ("azure/responses/gpt-5-pro", None, "azure/gpt-5-pro"),
    ("azure/o_series/o3-mini", None, "azure/o3-mini"),
    # the organisation that publishes a model
    ("google/gemini-2.5-flash", "google_vertexai", "gemini-2.5-flash"),
    ("openai/gpt-4o", "azure", "azure/gpt-4o"),
    ("mistralai/mistral-large-latest", None, "mistral/mistral-large-latest"),
    ("x-ai/grok-4", None, "xai/grok-4"),
    # spellings that the providers document
    ("gpt-3.5-turbo-1106", "azure", "azure/gpt-35-turbo-1106"),
    ("gpt-35-turbo-1106", "openai", "gpt-3.5-turbo-1106"),
    ("claude-sonnet-4-5@20250929", None, "claude-sonnet-4-5-20250929"),
    ("claude-sonnet-4-5@20250929", "anthropic", "claude-sonnet-4-5-20250929"),
    ("claude-sonnet-4-5-20250929", "google_vertexai", "vertex_ai/claude-sonnet-4-5@20250929"),
    ("claude-opus-4-5@default", "google_vertexai", "vertex_ai/claude-opus-4-5"),
    ("claude-sonnet-4.5", "anthropic", "claude-sonnet-4-5"),
    ("anthropic/claude-sonnet-4.5", None, "claude-sonnet-4-5"),
    ("claude-3.5-sonnet-20241022", None, "claude-3-5-sonnet-20241022"),
    ("claude-4.5-sonnet", "anthropic", "claude-sonnet-4-5"),
    ("anthropic/claude-opus-4-8", "openrouter", "openrouter/anthropic/claude-opus-4.8"),
    ("gemini-2-5-flash", "google_genai", "gemini/gemini-2.5-flash"),
    ("claude-sonnet-4-0", "anthropic", "claude-sonnet-4-20250514"),
    (
        "accounts/fireworks/models/llama-v3.1-8b-instruct",
        "fireworks",
        "fireworks_ai/accounts/fireworks/models/llama-v3p1-8b-instruct",
    ),
    ("claude-opus-4-8", "databricks", "databricks/databricks-claude-opus-4-8"),
    # fine-tunes: all of one base cost the same
    ("ft:gpt-4o-2024-08-06:acme:support:9xYz", "openai", "ft:gpt-4o-2024-08-06"),
    ("ft:gpt-4o-mini-2024-07-18:acme::AbC123", None, "ft:gpt-4o-mini-2024-07-18"),
    ("openai/ft:gpt-3.5-turbo-0125:acme::8Kd", None, "ft:gpt-3.5-turbo-0125"),
    # no date: all snapshots cost the same
    (
        "us.anthropic.claude-sonnet-4-5",
        "amazon_bedrock",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    ("command-a", "cohere", "command-a-03-2025"),
    ("pixtral-12b", "mistralai", "mistral/pixtral-12b-2409"),
    ("ministral-8b", "mistralai", "mistral/ministral-8b-latest"),
    # the provider has one model whose name ends so
    ("gpt-oss-20b", "groq", "groq/openai/gpt-oss-20b"),
    (
        "Llama-3.3-70B-Instruct-Turbo",
        "together",
        "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ),
    (
        "llama-v3p1-70b-instruct",
        "fireworks",
        "fireworks_ai/accounts/fireworks/models/llama-v3p1-70b-instruct",
    ),
    ("grok-4.7", "google_vertexai", "vertex_ai/xai/grok-4.7"),
    # the other price list of the same company
    ("DeepSeek-R1", "azure", "azure_ai/deepseek-r1"),
    ("claude-sonnet-4-5", "azure_openai", "azure_ai/claude-sonnet-4-5"),
    ("gpt-4o", "azure_ai", "azure/gpt-4o"),
    # no provider: the maker's list price
    ("grok-4", None, "xai/grok-4"),
    ("mistral-large-latest", None, "mistral/mistral-large-latest"),
    ("codestral-latest", "OpenAILike", "mistral/codestral-latest"),
    ("gemini-4-argon", None, "gemini/gemini-4-argon"),
    ("sonar-pro", None, "perplexity/sonar-pro"),
    ("kimi-k3", None, "moonshot/kimi-k3"),
    ("qwen-max", None, "dashscope/qwen-max"),
    ("MiniMax-M3", None, "minimax/MiniMax-M3"),
]


@pytest.mark.parametrize(("name", "provider", "model"), ALIAS)
def test_what_cannot_change_the_price_makes_an_alias(
    catalog: Catalog, name: str, provider: str | None, model: str
) -> None:
    found = catalog.resolve(name, provider)
    assert (found.model, found.match) == (model, Match.ALIAS)
    assert found.match.is_certain
    assert found.prices is not None
    assert found.prices.model == model


STRIPPED: list[Row] = [
    ("gpt-4o-2099-01-31", "openai", "gpt-4o"),
    ("gpt-5.6-luna-2026-07-09", "openai", "gpt-5.6-luna"),
    ("gpt-5-chat-2025-10-03", "azure", "azure/gpt-5-chat"),
    ("claude-opus-4-8-20260601", "anthropic", "claude-opus-4-8"),
    ("claude-opus-4-8-20260601", None, "claude-opus-4-8"),
    ("claude-sonnet-4-6@20260217", "google_vertexai", "vertex_ai/claude-sonnet-4-6"),
    ("claude-sonnet-4.6-20260217", "anthropic", "claude-sonnet-4-6"),
    ("mistral-medium-2612", "mistral", "mistral/mistral-medium"),
    ("mistral-medium-2612", None, "mistral/mistral-medium"),
    ("mistral-small-2409", "mistral", "mistral/mistral-small"),
    ("ministral-8b-2410", "mistral", "mistral/ministral-8b-latest"),
    ("command-r-plus-04-2024", "cohere", "command-r-plus"),
    ("grok-4.3-20260501", "xai", "xai/grok-4.3"),
    ("deepseek-r1-0528", None, "deepseek/deepseek-r1"),
    ("gemini-3.5-flash-001", "google_genai", "gemini/gemini-3.5-flash"),
    ("gemini-2.5-pro-001", "google_vertexai", "gemini-2.5-pro"),
    ("gemini-2.5-pro-preview-11-25", "google_genai", "gemini/gemini-2.5-pro"),
    ("gemini-3.5-flash-preview-09-2026", "google_genai", "gemini/gemini-3.5-flash"),
    ("gemini-2.0-flash-exp", "google_genai", "gemini/gemini-2.0-flash"),
    ("claude-sonnet-4-5[1m]", "anthropic", "claude-sonnet-4-5"),
    ("mistral-tiny-latest", "mistral", "mistral/mistral-tiny"),
    # a fine-tune of a snapshot that the map has only without its date
    ("ft:gpt-3.5-turbo-9999:acme::1", "openai", "ft:gpt-3.5-turbo"),
    # a profile of regions that the map does not have is as dear as another one
    ("ca.anthropic.claude-opus-5-5", "amazon_bedrock", "us.anthropic.claude-opus-5-5"),
    ("eu.moonshotai.kimi-k3", "amazon_bedrock", "us.moonshotai.kimi-k3"),
    ("anthropic.claude-mythos-5", "amazon_bedrock", "us.anthropic.claude-mythos-5"),
    ("us.meta.llama3-70b-instruct-v1:0", "amazon_bedrock", LLAMA),
    ("us.anthropic.claude-opus-4-8-20260601-v1:0", "bedrock", "us.anthropic.claude-opus-4-8"),
    ("anthropic.claude-opus-4-8-v1:0", "bedrock", "anthropic.claude-opus-4-8"),
    ("anthropic.claude-opus-4-6-v1:0", "bedrock", "anthropic.claude-opus-4-6-v1"),
    (
        "anthropic.claude-3-sonnet-20240229-v1:0:28k",
        "bedrock",
        "anthropic.claude-3-sonnet-20240229-v1:0",
    ),
    ("bedrock/us-east-9/meta.llama3-70b-instruct-v1:0", None, LLAMA),
    ("azure/sweden/gpt-4o", None, "azure/gpt-4o"),
    # variants at OpenRouter, and tags elsewhere
    ("deepseek/deepseek-r1:free", "openrouter", "openrouter/deepseek/deepseek-r1"),
    (
        "meta-llama/llama-3.3-70b-instruct:nitro",
        "openrouter",
        "openrouter/meta-llama/llama-3.3-70b-instruct",
    ),
    (
        "anthropic/claude-3.7-sonnet:thinking",
        "openrouter",
        "openrouter/anthropic/claude-3.7-sonnet",
    ),
    (
        "anthropic/claude-4.5-sonnet-20250929",
        "openrouter",
        "openrouter/anthropic/claude-sonnet-4.5",
    ),
    ("deepseek/deepseek-r1:free", None, "deepseek/deepseek-r1"),
    # its snapshots do not cost the same
    ("claude-3-5-haiku", "anthropic", "claude-3-5-haiku-latest"),
    ("magistral-medium", "mistral", "mistral/magistral-medium-latest"),
    # something unknown stands before it
    ("my-team/gpt-4o", "azure", "azure/gpt-4o"),
    ("my-gateway/gpt-4o-2024-08-06", None, "gpt-4o-2024-08-06"),
    # the map says 0 for the name itself
    ("gemini/gemini-exp-1206", None, "gemini-exp-1206"),
]


@pytest.mark.parametrize(("name", "provider", "model"), STRIPPED)
def test_what_may_change_the_price_makes_an_estimate(
    catalog: Catalog, name: str, provider: str | None, model: str
) -> None:
    found = catalog.resolve(name, provider)
    assert (found.model, found.match) == (model, Match.STRIPPED)
    assert not found.match.is_certain
    assert found.prices is not None


@pytest.mark.parametrize(
    ("name", "provider", "model", "asked"),
    [
        ("gpt-4o", "together", "gpt-4o", "together_ai"),
        ("gpt-4o-2099-01-31", "my-proxy", "gpt-4o", "my-proxy"),
        ("claude-opus-4-8", "fakelistchatmodel", "claude-opus-4-8", "fakelistchatmodel"),
        ("deepseek-chat", "openai", "deepseek-chat", "openai"),
        ("anthropic/claude-sonnet-4.5", "openai", "claude-sonnet-4-5", "openai"),
        ("azure/gpt-4o", "openai", "azure/gpt-4o", "openai"),
        ("openrouter/x-ai/grok-4", "openai", "openrouter/x-ai/grok-4", "openai"),
        ("gpt-5.5", "openai-codex", "gpt-5.5", "chatgpt"),
        ("github_copilot/gpt-4o", None, "gpt-4o", "github_copilot"),
        ("models/text-embedding-004", "google_genai", "text-embedding-004", "gemini"),
        (
            "anthropic.claude-opus-4-8",
            "anthropic-mantle",
            "anthropic.claude-opus-4-8",
            "bedrock_mantle",
        ),
        ("gemini-2.5-pro", "oci", "gemini-2.5-pro", "oci"),
    ],
)
def test_another_hosts_list_price_is_a_stand_in(
    catalog: Catalog, name: str, provider: str | None, model: str, asked: str
) -> None:
    found = catalog.resolve(name, provider)
    assert (found.model, found.match, found.provider) == (model, Match.STAND_IN, asked)
    assert found.rule.startswith("the list price of ")
    assert found.prices is not None


AMBIGUOUS_HERE = "hosts ask different prices for it: pass its provider or add an alias"


@pytest.mark.parametrize(
    ("name", "provider", "reason"),
    [
        ("gpt-oss-120b", None, AMBIGUOUS_HERE),
        ("openai/gpt-oss-120b", None, AMBIGUOUS_HERE),
        ("meta-llama/Llama-3.3-70B-Instruct", None, AMBIGUOUS_HERE),
        ("Qwen/Qwen3-32B", "litellm", AMBIGUOUS_HERE),
        ("qwen3-32b", None, AMBIGUOUS_HERE),
        ("meta-llama/Llama-3.3-70B-Instruct", "huggingface", "none of 'huggingface' for it"),
        ("meta/llama-3.3-70b-instruct", "NVIDIA", "none of 'nvidia_nim' for it"),
        ("Qwen/Qwen3-14B", "together", "none of 'together_ai' for it"),
        ("gpt-oss-120b", "openai", "add an alias"),
        # what is free at OpenRouter is not free elsewhere
        ("google/gemma-4-31b-it:free", None, AMBIGUOUS_HERE),
    ],
)
def test_a_name_that_hosts_price_differently_is_ambiguous(
    catalog: Catalog, name: str, provider: str | None, reason: str
) -> None:
    found = catalog.resolve(name, provider)
    assert (found.match, found.model, found.prices) == (Match.AMBIGUOUS, name, None)
    assert reason in found.reason
    assert 2 <= len(found.candidates) <= 5
    served = [catalog.resolve(key).prices for key in found.candidates]
    assert len({str(prices and prices.rates) for prices in served}) > 1


NOT_THERE = "it is not in the price map"
YOURS = "of your own, not a model: add an alias that says which model it is"


@pytest.mark.parametrize(
    ("name", "provider", "serving", "reason"),
    [
        ("gpt-99", "openai", "openai", NOT_THERE),
        ("gpt-99", "google_genai", "gemini", NOT_THERE),
        ("gpt-99", None, "unknown", NOT_THERE),
        ("claude-instant-1.2", "anthropic", "anthropic", NOT_THERE),
        ("us.anthropic.claude-opus-9", None, "bedrock", NOT_THERE),
        ("my-gpt4-deployment", "azure", "azure", NOT_THERE),
        ("azure/my-gpt4-deployment", None, "azure", NOT_THERE),
        ("compound-beta", "groq", "groq", NOT_THERE),
        ("sample_spec", None, "unknown", NOT_THERE),
        ("fallback_generalizations", "openai", "openai", NOT_THERE),
        ("", None, "unknown", NOT_THERE),
        ("", "openai", "openai", NOT_THERE),
        ("   ", None, "unknown", NOT_THERE),
        ("/", "openai", "openai", NOT_THERE),
        ("///", None, "unknown", NOT_THERE),
        (":", None, "unknown", NOT_THERE),
        ("openai/", None, "openai", NOT_THERE),
        ("gpt 4o", "openai", "openai", NOT_THERE),
        ("gpt-4o-2024-08-06-my-copy", "openai", "openai", NOT_THERE),
        # a fine-tune never has the price of its base
        ("ft:gpt-5-2025-08-07:acme::1", "openai", "openai", NOT_THERE),
        ("ft:gpt-99", None, "unknown", NOT_THERE),
        ("FT:gpt-5:acme::1", "openai", "openai", NOT_THERE),
        ("gpt-4o:ft-acme-2023-01-01", "openai", "openai", NOT_THERE),
        ("gpt-4o-mini-2024-07-18.ft-0123abcd", "azure", "azure", NOT_THERE),
        # a tag without a local provider does not make it free
        ("llama3:8b", None, "unknown", NOT_THERE),
        ("mistral:7b", None, "unknown", NOT_THERE),
        ("ollama/llama3:8b", "openai", "openai", NOT_THERE),
        # priced at 0
        (
            "gemini-1.5-flash-8b",
            "google_genai",
            "gemini",
            "the price map says 0, which is not a price",
        ),
        # names of the user's own
        (
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123",
            "bedrock",
            "bedrock",
            f"the AWS resource 'application-inference-profile' {YOURS}",
        ),
        (
            "arn:aws:bedrock:us-east-1:1:provisioned-model/zzz",
            None,
            "unknown",
            f"the AWS resource 'provisioned-model' {YOURS}",
        ),
        (
            "arn:aws:sagemaker:us-east-1:1:endpoint/x",
            None,
            "unknown",
            f"the AWS resource 'endpoint' {YOURS}",
        ),
        (
            "projects/p/locations/us-central1/endpoints/123",
            "google_vertexai",
            "vertex_ai",
            f"an endpoint {YOURS}",
        ),
        ("tunedModels/my-model", "google_genai", "gemini", f"a tuned model {YOURS}"),
        ("accounts/acme/models/lora", None, "fireworks_ai", f"a model or deployment {YOURS}"),
        # longer than any name
        ("gpt-4o" * 100, "openai", "openai", "it is longer than 400 characters"),
        ("a/" * 100_000, None, "unknown", "it is longer than 400 characters"),
    ],
)
def test_a_name_without_a_price_says_why(
    catalog: Catalog, name: str, provider: str | None, serving: str, reason: str
) -> None:
    found = catalog.resolve(name, provider)
    assert (found.match, found.model, found.provider) == (Match.UNKNOWN, name, serving)
    assert reason in found.reason
    assert found.prices is None
    assert not found.rule


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("gpt4o", "gpt-4o"),
        ("mistral-smal", "mistral/mistral-small"),
        ("grok-4-fast", "xai/grok-4-1-fast"),
        ("devstral-medum", "mistral/devstral-medium-latest"),
    ],
)
def test_an_unknown_name_comes_with_names_that_look_like_it(
    catalog: Catalog, name: str, near: str
) -> None:
    found = catalog.resolve(name)
    assert found.match is Match.UNKNOWN
    assert near in found.candidates
    assert len(found.candidates) <= 5
    assert all(catalog.resolve(key).prices for key in found.candidates)


def test_nothing_is_free_because_it_is_free_somewhere_else(catalog: Catalog) -> None:
    for name, provider in [
        ("llama3", "openai"),
        ("ollama/llama3", "my-proxy"),
        ("gpt-oss:120b-cloud", None),
        ("openrouter/google/gemma-4-31b-it:free", "openai"),
        ("google/gemma-4-31b-it:free", "huggingface"),
    ]:
        found = catalog.resolve(name, provider)
        assert found.prices is None or any(found.prices.rates.values()), name


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("llama3:8b", "ollama", "ollama/llama3:8b"),
        ("llama3.2:3b-instruct-q4_K_M", "Ollama_llm", "ollama/llama3.2:3b-instruct-q4_K_M"),
        ("Ollama/llama3", "ChatOllama".removeprefix("Chat"), "ollama/llama3"),
        ("gpt-oss:120b-cloud", "ollama", "ollama/gpt-oss:120b-cloud"),
        ("ollama/llama3:8b", None, "ollama/llama3:8b"),
        ("ollama/llama3:8b", "litellm", "ollama/llama3:8b"),
        ("litellm_proxy/ollama/llama3", None, "ollama/llama3"),
        ("ollama:llama3:8b", None, "ollama/llama3:8b"),
        ("gpt-4o", "lmstudio", "lm_studio/gpt-4o"),
        ("models/llama-3.gguf", "llamafile", "llamafile/models/llama-3.gguf"),
        ("x" * 1000, "ollama", f"ollama/{'x' * 1000}"),
        ("", "ollama", "ollama/"),
    ],
)
def test_what_runs_on_the_users_machine_is_free_whatever_its_name(
    catalog: Catalog, name: str, provider: str | None, model: str
) -> None:
    found = catalog.resolve(name, provider)
    assert (found.model, found.match) == (model, Match.EXACT)
    assert found.prices is not None
    assert set(found.prices.rates.values()) == {0}


@pytest.mark.parametrize(
    ("hint", "provider"),
    [
        # LangChain's ls_provider
        ("openai", "openai"),
        ("azure", "azure"),
        ("anthropic", "anthropic"),
        ("google_genai", "gemini"),
        ("google_vertexai", "vertex_ai"),
        ("amazon_bedrock", "bedrock"),
        ("anthropic-bedrock", "bedrock"),
        ("anthropic-mantle", "bedrock_mantle"),
        ("mistral", "mistral"),
        ("mistralai", "mistral"),
        ("groq", "groq"),
        ("ollama", "ollama"),
        ("deepseek", "deepseek"),
        ("xai", "xai"),
        ("together", "together_ai"),
        ("fireworks", "fireworks_ai"),
        ("cohere", "cohere"),
        ("ibm", "watsonx"),
        ("perplexity", "perplexity"),
        ("NVIDIA", "nvidia_nim"),
        ("huggingface", "huggingface"),
        ("openrouter", "openrouter"),
        ("databricks", "databricks"),
        ("github-copilot", "github_copilot"),
        ("anthropicvertex", "vertex_ai"),
        ("zhipuai", "zai"),
        # LlamaIndex's class names
        ("openai_llm", "openai"),
        ("openai_responses_llm", "openai"),
        ("azure_openai_llm", "azure"),
        ("Anthropic_LLM", "anthropic"),
        ("Bedrock_LLM", "bedrock"),
        ("Bedrock_Converse_LLM", "bedrock"),
        ("bedrock_converse_llm", "bedrock"),
        ("MistralAI_LLM", "mistral"),
        ("Gemini_LLM", "gemini"),
        ("Gemini", "gemini"),
        ("GenAI", "gemini"),
        ("Vertex", "vertex_ai"),
        ("Groq", "groq"),
        ("TogetherLLM", "together_ai"),
        ("Fireworks_LLM", "fireworks_ai"),
        ("Cohere_LLM", "cohere"),
        ("perplexity_llm", "perplexity"),
        ("OpenRouter_LLM", "openrouter"),
        ("WatsonxLLM", "watsonx"),
        ("AzureAICompletionsModel", "azure_ai"),
        ("Ollama_llm", "ollama"),
        ("lmstudio", "lm_studio"),
        ("Upstage_LLM", "upstage"),
        # LiteLLM's own
        ("vertex_ai", "vertex_ai"),
        ("vertex_ai-anthropic_models", "vertex_ai"),
        ("text-completion-openai", "openai"),
        ("cohere_chat", "cohere"),
        ("fireworks_ai-embedding-models", "fireworks_ai"),
        ("azure_text", "azure"),
        # nobody's
        ("My-Proxy", "my-proxy"),
        (" OpenAI ", "openai"),
    ],
)
def test_a_provider_is_known_by_the_names_that_frameworks_give_it(hint: str, provider: str) -> None:
    assert provider_of(hint) == provider


@pytest.mark.parametrize(
    "hint",
    [
        None,
        "",
        "  ",
        "litellm",
        "LiteLLM",
        "litellm_llm",
        "OpenAILike",
        "openai-like",
        "LangChainLLM",
    ],
)
def test_a_wrapper_names_no_provider(hint: str | None) -> None:
    assert provider_of(hint) is None


@pytest.mark.parametrize(
    ("name", "provider", "model", "match", "serving"),
    [
        ("prod-chat", "azure", "azure/gpt-4o", Match.ALIAS, "azure"),
        ("Prod-Chat", "Azure", "azure/gpt-4o", Match.ALIAS, "azure"),
        ("prod-chat", None, "gpt-4o", Match.ALIAS, "openai"),
        ("eu-chat", "azure", "azure/eu/gpt-4o", Match.ALIAS, "azure"),
        ("claude", "openai", "claude-sonnet-4-5", Match.ALIAS, "anthropic"),
        # for one provider only, spelled as the framework or as LiteLLM does; stronger than a key
        ("gpt-4o", "google_genai", "gemini/gemini-2.5-pro", Match.ALIAS, "gemini"),
        ("gpt-4o", "amazon_bedrock", "us.anthropic.claude-opus-4-8", Match.ALIAS, "bedrock"),
        ("gpt-4o", "openai", "gpt-4o", Match.EXACT, "openai"),
        # an alias says no more than what it points to
        ("old", "openai", "gpt-4o", Match.STRIPPED, "openai"),
        ("old", "my-proxy", "gpt-4o", Match.STRIPPED, "openai"),
        # what runs locally may have a price
        ("gpt-oss:120b-cloud", "ollama", "groq/openai/gpt-oss-120b", Match.ALIAS, "groq"),
        ("mine", "openai", "ollama/llama3", Match.ALIAS, "ollama"),
        # a stand-in where the target is not known exactly anywhere else
        (
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
            "amazon_bedrock",
            "us.anthropic.claude-opus-4-8",
            Match.ALIAS,
            "bedrock",
        ),
    ],
)
def test_the_users_alias_comes_first(
    name: str, provider: str | None, model: str, match: Match, serving: str
) -> None:
    aliases = {
        "prod-chat": "gpt-4o",
        "eu-chat": "azure/eu/gpt-4o",
        "claude": "anthropic/claude-sonnet-4.5",
        "google_genai/gpt-4o": "gemini-2.5-pro",
        "bedrock/gpt-4o": "us.anthropic.claude-opus-4-8",
        "old": "gpt-4o-2099-01-31",
        "ollama/gpt-oss:120b-cloud": "groq/openai/gpt-oss-120b",
        "mine": "ollama/llama3",
        "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc": (
            "us.anthropic.claude-opus-4-8"
        ),
    }
    found = Catalog(replace(packaged_snapshot(), aliases=aliases)).resolve(name, provider)
    assert (found.name, found.model, found.match) == (name, model, match)
    assert found.provider == serving
    assert found.rule.startswith("your alias, ") == (match is not Match.EXACT)


def test_an_alias_that_leads_nowhere_says_so() -> None:
    catalog = made_of({"gpt-4o": entry("openai")}, mine="gpt-99", loop="mine")
    for name, target in [("mine", "gpt-99"), ("loop", "mine")]:
        found = catalog.resolve(name, "openai")
        assert (found.match, found.model) == (Match.UNKNOWN, name)
        assert found.reason == f"its alias {target!r} has no price: it is not in the price map"


def test_an_alias_of_the_map_has_the_key_and_the_price_of_its_target() -> None:
    catalog = made_of(
        {
            "claude-opus-5-5": entry("anthropic", 5e-6),
            "claude-opus-latest": {"alias_of": "claude-opus-5-5"},
            "claude-opus": {"alias_of": "claude-opus-latest"},
            "bedrock/claude-opus-latest": {"alias_of": "global.anthropic.claude-opus-5-5"},
            "global.anthropic.claude-opus-5-5": entry("bedrock_converse", 4e-6),
            "loop": {"alias_of": "loop"},
            "gone": {"alias_of": "claude-9", **entry("anthropic")},
        }
    )
    expected = {
        ("claude-opus-latest", None): ("claude-opus-5-5", "anthropic"),
        ("claude-opus-latest", "anthropic"): ("claude-opus-5-5", "anthropic"),
        ("claude-opus", None): ("claude-opus-5-5", "anthropic"),
        ("bedrock/claude-opus-latest", None): ("global.anthropic.claude-opus-5-5", "bedrock"),
        ("claude-opus-latest", "bedrock"): ("global.anthropic.claude-opus-5-5", "bedrock"),
        ("gone", "anthropic"): ("gone", "anthropic"),
    }
    for (name, provider), (model, serving) in expected.items():
        found = catalog.resolve(name, provider)
        assert (found.model, found.provider) == (model, serving), name
        assert found.match is Match.ALIAS
        assert found.rule.endswith("the map's alias for it")
        assert found.prices is not None
        assert found.prices.model == model
    assert catalog.resolve("loop").prices is None


def test_a_model_has_a_price_without_its_host_only_if_all_hosts_agree() -> None:
    one = {"a_host/org/wide": entry("a_host"), "b_host/wide": entry("b_host")}
    found = made_of(one).resolve("wide")
    assert (found.match, found.model) == (Match.ALIAS, "b_host/wide")
    assert found.rule == "every host asks the same"
    assert found.candidates == ("a_host/org/wide",)

    dearer = {**one, "c_host/wide": entry("c_host", 3e-6)}
    found = made_of(dearer).resolve("org/wide")
    assert found.match is Match.AMBIGUOUS
    assert found.candidates == ("a_host/org/wide", "b_host/wide", "c_host/wide")

    # A host that no longer has it may have asked another price: what is left is an estimate.
    retired = {**one, "c_host/wide": entry("c_host", 3e-6, retired="1.80.0")}
    found = made_of(retired).resolve("wide")
    assert (found.match, found.model) == (Match.STRIPPED, "b_host/wide")

    # A region of a host that has the model without one is not another host.
    regional = {**one, "b_host/eu/wide": entry("b_host", 3e-6)}
    assert made_of(regional).resolve("wide").match is Match.ALIAS


def test_hosts_differ_if_any_price_of_the_standard_tier_differs() -> None:
    plain = {"a_host/wide": entry("a_host")}
    cached = entry("b_host", cache_read_input_token_cost=1e-7)
    assert made_of({**plain, "b_host/wide": cached}).resolve("wide").match is Match.AMBIGUOUS
    batched = entry("b_host", input_cost_per_token_batches=5e-7, max_tokens=10)
    assert made_of({**plain, "b_host/wide": batched}).resolve("wide").match is Match.ALIAS


def test_undated_names_need_snapshots_of_one_price() -> None:
    same = {
        "claude-x-20250101": entry("anthropic"),
        "claude-x-20250601": entry("anthropic"),
        "claude-x-mini-20250601": entry("anthropic", 3e-6),
        "azure_ai/claude-x-20250601": entry("azure_ai", 3e-6),
    }
    for provider in (None, "anthropic"):
        found = made_of(same).resolve("claude-x", provider)
        assert (found.match, found.model) == (Match.ALIAS, "claude-x-20250601")
        assert found.candidates == ("claude-x-20250101",)

    dearer = {**same, "claude-x-20240101": entry("anthropic", 2e-6)}
    for provider in (None, "anthropic"):
        found = made_of(dearer).resolve("claude-x", provider)
        assert (found.match, found.model) == (Match.STRIPPED, "claude-x-20240101")
        assert found.rule == "the dearest of its snapshots"

    retired = {**same, "claude-x-20240101": entry("anthropic", 2e-6, retired="1.80.0")}
    found = made_of(retired).resolve("claude-x", "anthropic")
    assert (found.match, found.model) == (Match.STRIPPED, "claude-x-20250601")


def test_a_profile_of_regions_never_loses_them_while_the_map_has_them() -> None:
    both = {
        "anthropic.claude-x": entry("bedrock_converse", 1e-6),
        "eu.anthropic.claude-x": entry("bedrock_converse", 1.1e-6),
    }
    assert made_of(both).resolve("eu.anthropic.claude-x", "bedrock").match is Match.EXACT
    found = made_of(both).resolve("us.anthropic.claude-x", "bedrock")
    assert (found.match, found.model) == (Match.STRIPPED, "anthropic.claude-x")
    assert found.rule == "inference-profile prefix removed"


def test_a_free_variant_is_free_only_if_the_map_says_so_for_its_key() -> None:
    free = {
        "openrouter/a:free": entry("openrouter", 0),
        "openrouter/b:free": entry("openrouter", 0, input_cost_per_image=0.1),
        "openrouter/b": entry("openrouter"),
        "openrouter/c": entry("openrouter"),
        "other/d:free": entry("other", 0),
    }
    catalog = made_of(free)
    found = catalog.resolve("a:free", "openrouter")
    assert found.match is Match.EXACT
    assert found.prices is not None
    assert set(found.prices.rates.values()) == {0}
    for name in ("b:free", "c:free"):
        found = catalog.resolve(name, "openrouter")
        assert (found.match, found.model) == (Match.STRIPPED, f"openrouter/{name[0]}"), name
    assert catalog.resolve("d:free", "other").prices is None


def test_of_two_keys_that_differ_in_case_the_one_written_so_counts() -> None:
    catalog = made_of({"host/Wide": entry("host"), "host/WIDE": entry("host", 3e-6)})
    assert catalog.resolve("host/WIDE").model == "host/WIDE"
    assert catalog.resolve("WIDE", "host").model == "host/WIDE"
    assert catalog.resolve("wide", "host").model == "host/Wide"


def test_names_are_found_again_after_the_memory_was_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmcost_plugins.pricing.catalog._NAMES_KEPT", 2)
    catalog = made_of({"gpt-4o": entry("openai")})
    first = catalog.resolve("gpt-4o")
    assert catalog.resolve("gpt-4o") is first
    for name in ("a", "b", "c"):
        catalog.resolve(name)
    assert catalog.resolve("gpt-4o") == first
