"""Who serves a model: what frameworks call the providers, what LiteLLM does, and who makes what."""

import re
from functools import lru_cache
from typing import Final

from llmcost_plugins.pricing.entries import main_provider

# The spellings of a provider are LangChain's (`ls_provider`, the names of `init_chat_model`, class
# names in lower case where a package states none), LlamaIndex's (class names; `_llm` at the end is
# dropped before the look-up), and the organisations that OpenRouter and Hugging Face put before a
# name. LiteLLM's other names need no entry: they are taken as they are.
_SPELLINGS: Final = {
    "ai21": "ai21 ai21labs",
    "amazon_nova": "amazon_nova",
    "anthropic": "anthropic",
    "azure": "azure azure_openai azureopenai",
    "azure_ai": "azure_inference azureaicompletionsmodel azureaichatcompletionsmodel "
    "azureaiopenaiapichatmodel azure_ai_foundry",
    "bedrock": "amazon_bedrock bedrock bedrock_converse anthropic_bedrock bedrock_nova_sonic "
    "chatbedrock aws_bedrock aws",
    "bedrock_mantle": "openai_mantle anthropic_mantle bedrock_mantle_openai "
    "bedrock_mantle_anthropic",
    "cerebras": "cerebras",
    "chatgpt": "openai_codex",
    "cloudflare": "cloudflareworkersai cloudflare_workers_ai",
    "cohere": "cohere cohereai",
    "dashscope": "tongyi dashscope qwen alibaba",
    "databricks": "databricks",
    "deepinfra": "deepinfra",
    "deepseek": "deepseek deepseek_ai",
    "featherless_ai": "featherlessai featherlessllm",
    "fireworks_ai": "fireworks fireworksai",
    "friendliai": "friendli",
    "gemini": "google_genai google gemini genai googlegenerativeai google_ai google_gla",
    "github_copilot": "github_copilot copilot",
    "groq": "groq groqcloud",
    "meta_llama": "llamallm",
    "minimax": "minimax minimaxai",
    "mistral": "mistralai mistral",
    "moonshot": "moonshot moonshotai kimi",
    "nebius": "nebius nebiusllm",
    "novita": "novita novitaai",
    "nvidia_nim": "nvidia nvidia_ai_endpoints",
    "oci": "ocigenai oci_genai",
    "jina_ai": "jina jinaai",
    "llamafile": "llamafile",
    "lm_studio": "lmstudio",
    "ollama": "ollama",
    "openai": "openai openai_responses openai_chat openaichat",
    "openrouter": "openrouter",
    "perplexity": "perplexity perplexityai",
    "replicate": "replicate",
    "sagemaker": "sagemakerllm amazon_sagemaker",
    "sambanova": "sambanovacloud sambanova",
    "snowflake": "snowflakecortex",
    "together_ai": "together togetherllm togetherai together_computer",
    "vertex_ai": "google_vertexai vertexai vertex google_vertex google_anthropic_vertex "
    "anthropicvertex anthropic_vertex",
    "volcengine": "volcenginemaas",
    "voyage": "voyage voyageai",
    "watsonx": "ibm watsonx watsonxllm ibm_watsonx",
    "xai": "xai x_ai grok",
    "zai": "zai z_ai zhipuai zhipu zai_org",
}
_WRAPPERS: Final = (
    "litellm litellm_proxy litellmrouter litellm_router openailike openai_like openai_compatible "
    "custom_openai langchainllm unknown"
)
_NAMES: Final[dict[str, str | None]] = {
    **{name: name for name in _SPELLINGS},
    **{spelling: name for name, all_ in _SPELLINGS.items() for spelling in all_.split()},
    **dict.fromkeys(_WRAPPERS.split()),
}
# What LiteLLM writes before a key where that is not the provider's name.
_PREFIXES: Final = {"amazon_nova": "amazon-nova"}
# Labels of the map beyond those that `main_provider` knows, to the provider that sends the bill.
_LABELS: Final = {
    "azure_text": "azure",
    "fireworks_ai-embedding-models": "fireworks_ai",
}
# Two price lists of one company that hold for each other's models.
_SIBLINGS: Final = {"azure": ("azure_ai",), "azure_ai": ("azure",)}

_PUBLISHERS: Final = (
    "ai21labs ai21 alibaba allenai amazon anthropic baai bigscience bytedance bytedance-seed "
    "cohere cohereforai databricks deepseek deepseek-ai google ibm ibm-granite meta meta-llama "
    "microsoft minimax minimaxai mistral mistralai moonshotai nousresearch nvidia openai qwen "
    "stabilityai stepfun-ai tencent upstage x-ai xai z-ai zai-org"
)
PUBLISHERS: Final = frozenset(_PUBLISHERS.split())
"""Organisations that stand before the name of a model without saying who serves it."""
_MAKERS: Final = (
    (
        "openai",
        r"(?:ft:)?(?:gpt-|o[134](?:-|$)|babbage-002|davinci-002)|chatgpt-|codex-|computer-use-",
    ),
    (
        "openai",
        r"text-embedding-(?:3|ada)|omni-moderation|dall-e-|sora-|tts-|whisper-1",
    ),
    ("anthropic", r"claude-"),
    ("gemini", r"gemini-|gemma-|learnlm-|imagen-|veo-"),
    (
        "mistral",
        r"(?:open-)?mi[sx]tral-|codestral-|ministral-|magistral-|devstral-|pixtral-|voxtral-",
    ),
    ("mistral", r"open-codestral-"),
    ("xai", r"grok-"),
    ("deepseek", r"deepseek-"),
    ("cohere", r"command(?:-|$)|embed-(?:english|multilingual|v\d)|rerank-|c4ai-"),
    ("perplexity", r"sonar(?:-|$)|pplx-"),
    ("ai21", r"jamba-|j2-"),
    (
        "dashscope",
        r"qwen[\d.]*-(?:max|plus|turbo|flash|long|coder-plus|coder-flash|vl-plus)|qwq-plus",
    ),
    ("moonshot", r"kimi-|moonshot-"),
    ("zai", r"glm-"),
    ("minimax", r"minimax-"),
    ("voyage", r"voyage-"),
)
_MAKER: Final = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _MAKERS)


@lru_cache(maxsize=1024)
def provider_of(hint: str | None) -> str | None:
    """Return LiteLLM's name of the provider that a framework names.

    `None` when it names none: wrappers around any provider, such as ``litellm`` and ``OpenAILike``,
    leave that to the name of the model. A provider that nobody knows keeps its own name, in lower
    case. Case, and the difference of ``-`` and ``_``, do not matter.
    """
    plain = (hint or "").strip().casefold()
    if not plain:
        return None
    folded = _folded(plain)
    if folded in _NAMES:
        return _NAMES[folded]
    return owner(plain.removesuffix("_llm"))


def is_provider(word: str) -> bool:
    """Tell whether *word* is a spelling of a provider that the table knows."""
    return _NAMES.get(_folded(word.casefold())) is not None


def is_wrapper(word: str) -> bool:
    """Tell whether *word* names something that passes calls on to any provider."""
    return _NAMES.get(_folded(word.casefold()), "") is None


def owner(label: str) -> str:
    """Return the one provider behind a ``litellm_provider`` of the map."""
    return _LABELS.get(label) or main_provider(label)


def prefix_of(provider: str) -> str:
    """Return what stands before the provider's keys in the map."""
    return _PREFIXES.get(provider, provider)


def siblings_of(provider: str) -> tuple[str, ...]:
    """Return the provider, then those whose price list holds for it as well."""
    return (provider, *_SIBLINGS.get(provider, ()))


def maker_of(name: str) -> str | None:
    """Return who makes and sells the model of that bare name; `None` when nobody is known to.

    Families with open weights that their maker does not sell (Llama, most of Qwen) have none: the
    host sets their price.
    """
    return next((maker for maker, pattern in _MAKER if pattern.match(name)), None)


def _folded(word: str) -> str:
    return word.replace("-", "_").replace(" ", "_").removesuffix("_llm")
