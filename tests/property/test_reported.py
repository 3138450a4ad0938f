"""Whatever is reported: nothing raises, and what adds up is read to the token."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.reported import read_searches, read_served_model, read_usage
from llmcost_plugins.usage import METERS, Trust, Usage
from tests.unit.provider_reports import REPORTS


def names_in(part: Any) -> set[str]:
    if isinstance(part, dict):
        return set(part).union(*map(names_in, part.values()))
    return set().union(*map(names_in, part)) if isinstance(part, list) else set()


def words_in(part: Any) -> set[str]:
    if isinstance(part, dict):
        return set().union(*map(words_in, part.values()))
    if isinstance(part, list):
        return set().union(*map(words_in, part))
    return {part} if isinstance(part, str) else set()


NAMES = st.sampled_from(sorted(names_in([raw for raw, _ in REPORTS.values()]))) | st.text()
WORDS = st.sampled_from(sorted(words_in([raw for raw, _ in REPORTS.values()]))) | st.text()
NUMBERS = (
    st.integers(0, 2000)
    | st.integers()
    | st.integers(10**4000, 10**4400)
    | st.floats()
    | st.booleans()
    | st.decimals()
)
GARBAGE: st.SearchStrategy[Any] = st.recursive(
    st.none() | NUMBERS | WORDS | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=12),
    max_leaves=40,
)


def as_objects(part: Any) -> Any:
    if isinstance(part, dict):
        return SimpleNamespace(**{name: as_objects(value) for name, value in part.items()})
    return tuple(map(as_objects, part)) if isinstance(part, list) else part


def check(usage: Usage | None) -> None:
    if usage is not None:
        assert usage.counts() or usage.stated_cost
        assert (usage.trust is Trust.INCONSISTENT) <= bool(usage.note)
        assert len(usage.note) < 10_000
        assert Usage.from_counts(usage.to_counts(), usage.trust) == usage


@given(GARBAGE, st.none() | WORDS)
def test_nothing_that_a_provider_may_say_raises(raw: Any, provider: str | None) -> None:
    for form in (raw, as_objects(raw)):
        check(read_usage(form, provider=provider))
        read_served_model(form)
        read_searches(form)


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A real report with some parts replaced by garbage."""

    def damage(part: Any) -> Any:
        if draw(st.integers(0, 9)) == 0:
            return draw(GARBAGE)
        if isinstance(part, dict):
            return {name: damage(value) for name, value in part.items()}
        return [damage(member) for member in part] if isinstance(part, list) else part

    return damage(draw(st.sampled_from([raw for raw, _ in REPORTS.values()])))


@given(damaged())
def test_no_damage_to_a_report_raises(raw: Any) -> None:
    for form in (raw, as_objects(raw)):
        check(read_usage(form))


COUNTS = st.integers(0, 10**6) | st.just(0)


@st.composite
def usages(draw: st.DrawFn, *meters: str, rarer: tuple[str, ...] = ()) -> Usage:
    """A usage with a prompt, since no report is without one."""
    counts = {meter: draw(COUNTS) for meter in meters if meter != "input"}
    other = {meter: count for meter in rarer if (count := draw(COUNTS))}
    return Usage(input=draw(st.integers(1, 10**6)), other=other, **counts)  # type: ignore[arg-type]  # meters only


def medium(usage: Usage, name: str) -> int:
    """All tokens of a medium in the prompt, cached or not."""
    uncached: int = getattr(usage, f"{name}_in")
    return uncached + usage.other.get(f"cache_read_{name}", 0)


def cached(usage: Usage) -> int:
    media = (usage.other.get(f"cache_read_{name}", 0) for name in ("audio", "image", "video"))
    return usage.cache_read + sum(media)


def written(usage: Usage) -> dict[str, int]:
    return {
        "ephemeral_5m_input_tokens": usage.cache_write_5m,
        "ephemeral_1h_input_tokens": usage.cache_write_1h,
    }


def openai_details(usage: Usage) -> tuple[dict[str, Any], dict[str, Any]]:
    into = {
        "cached_tokens": cached(usage),
        "cached_tokens_details": {
            "text_tokens": usage.cache_read,
            **{f"{m}_tokens": usage.other.get(f"cache_read_{m}") for m in ("audio", "image")},
        },
        "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_creation_token_details": written(usage),
        "audio_tokens": medium(usage, "audio"),
        "image_tokens": medium(usage, "image"),
    }
    out = {
        "reasoning_tokens": usage.reasoning,
        "audio_tokens": usage.audio_out,
        "image_tokens": usage.image_out,
    }
    return into, out


def openai_chat(usage: Usage) -> dict[str, Any]:
    into, out = openai_details(usage)
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": into,
        "completion_tokens_details": out,
    }


def openai_response(usage: Usage) -> dict[str, Any]:
    into, out = openai_details(usage)
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "input_tokens_details": into,
        "output_tokens_details": out,
    }


def xai(usage: Usage) -> dict[str, Any]:
    said = openai_chat(usage)
    return {**said, "completion_tokens": usage.completion_tokens - usage.reasoning}


def deepseek(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_cache_hit_tokens": usage.cache_read,
        "prompt_cache_miss_tokens": usage.input,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def anthropic(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "output_tokens": usage.completion_tokens,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_creation": written(usage),
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def gemini(usage: Usage) -> dict[str, Any]:
    media = ("audio", "image", "video")

    def split(text: int, counts: dict[str, int]) -> list[dict[str, Any]]:
        parts = {"TEXT": text, **{m.upper(): counts[m] for m in media}}
        return [{"modality": name, "tokenCount": n} for name, n in parts.items() if n]

    return {
        "promptTokenCount": usage.prompt_tokens,
        "cachedContentTokenCount": cached(usage),
        "candidatesTokenCount": usage.completion_tokens - usage.reasoning,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": usage.prompt_tokens + usage.completion_tokens,
        "promptTokensDetails": split(
            usage.input + usage.cache_read, {m: medium(usage, m) for m in media}
        ),
        "cacheTokensDetails": split(
            usage.cache_read, {m: usage.other.get(f"cache_read_{m}", 0) for m in media}
        ),
        "candidatesTokensDetails": split(
            usage.output, {m: getattr(usage, f"{m}_out") for m in media}
        ),
    }


def bedrock(usage: Usage) -> dict[str, Any]:
    return {
        "inputTokens": usage.input,
        "outputTokens": usage.output,
        "totalTokens": usage.prompt_tokens + usage.completion_tokens,
        "cacheReadInputTokens": usage.cache_read,
        "cacheWriteInputTokens": usage.cache_write_5m + usage.cache_write_1h,
        "cacheDetails": [
            {"ttl": "1h", "inputTokens": usage.cache_write_1h},
            {"ttl": "5m", "inputTokens": usage.cache_write_5m},
        ],
    }


TEXT = ("input", "cache_read", "output", "reasoning")
WRITES = ("cache_write_5m", "cache_write_1h")
OPENAI = (*TEXT, *WRITES, "audio_in", "image_in", "audio_out", "image_out")
OF_OPENAI = usages(*OPENAI, rarer=("cache_read_audio", "cache_read_image"))
OF_GEMINI = usages(
    *(meter for meter in METERS if meter not in WRITES),
    rarer=("cache_read_audio", "cache_read_image", "cache_read_video"),
)
DIALECTS: dict[str, tuple[Any, st.SearchStrategy[Usage]]] = {
    "openai chat": (openai_chat, OF_OPENAI),
    "openai responses": (openai_response, OF_OPENAI),
    "xai": (xai, OF_OPENAI),
    "deepseek": (deepseek, usages(*TEXT)),
    "anthropic": (anthropic, usages(*TEXT, *WRITES)),
    "gemini": (gemini, OF_GEMINI),
    "bedrock": (bedrock, usages("input", "cache_read", "output", *WRITES)),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@given(st.data())
def test_what_adds_up_is_read_to_the_token(dialect: str, data: st.DataObject) -> None:
    write, strategy = DIALECTS[dialect]
    usage = data.draw(strategy)
    for form in (dict, as_objects):
        assert read_usage({"usage": form(write(usage))}) == usage


@given(*[st.integers(0, 300)] * 6)
def test_parts_are_the_whole_or_a_flag_says_why(  # noqa: PLR0913, PLR0917 - independent numbers
    prompt: int, completion: int, cached: int, audio: int, written: int, reasoning: int
) -> None:
    usage = read_usage(
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {
                "cached_tokens": cached,
                "audio_tokens": audio,
                "cache_write_tokens": written,
            },
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }
    )
    if usage is None:
        assert prompt == completion == cached == audio == written == reasoning == 0
        return
    adds_up = (usage.prompt_tokens, usage.completion_tokens) == (prompt, completion)
    assert adds_up or usage.trust is Trust.INCONSISTENT
    assert usage.prompt_tokens >= prompt
    assert usage.completion_tokens >= completion
