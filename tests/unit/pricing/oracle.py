"""Ask litellm's own calculator what usages cost; print JSON. Run in a process of its own.

litellm takes seconds to import and warns a lot, so the tests stay clear of it.
"""

import json
import logging
import os
import sys
import warnings
from datetime import datetime
from types import SimpleNamespace
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

import litellm  # noqa: E402 - reads its switch when imported
from litellm.cost_calculator import batch_cost_calculator  # noqa: E402
from litellm.litellm_core_utils.llm_cost_calc import utils as calculator  # noqa: E402
from litellm.litellm_core_utils.llm_cost_calc.tool_call_cost_tracking import (  # noqa: E402
    StandardBuiltInToolCostTracking,
)
from litellm.types.utils import (  # noqa: E402
    CompletionTokensDetailsWrapper,
    PromptTokensDetailsWrapper,
    Usage,
)

litellm.suppress_debug_info = True
CLOCK = SimpleNamespace(now=None)
calculator.current_billing_time = lambda: CLOCK.now  # type: ignore[attr-defined]  # imported there


def usage_of(shape: dict[str, Any], model: str, provider: str) -> Usage:
    """Return litellm's form of a usage of ours."""
    get = shape.get
    other = shape.get("other", {})
    cached_audio = other.get("cache_read_audio", 0)
    read = get("cache_read", 0) + cached_audio
    write, hour = get("cache_write_5m", 0), get("cache_write_1h", 0)
    audio = get("audio_in", 0) + cached_audio
    prompt = sum(get(m, 0) for m in ("input", "audio_in", "image_in", "video_in"))
    prompt += read + write + hour
    completion = sum(
        get(m, 0) for m in ("output", "reasoning", "audio_out", "image_out", "video_out")
    )
    details: dict[str, Any] = {
        "cached_tokens": read,
        "cache_creation_tokens": write + hour,
        "audio_tokens": audio,
        "image_tokens": get("image_in", 0),
        "video_tokens": get("video_in", 0),
    }
    if cached_audio:
        details["cached_tokens_details"] = {"audio_tokens": cached_audio}
    if hour:
        details["cache_creation_token_details"] = {
            "ephemeral_5m_input_tokens": write,
            "ephemeral_1h_input_tokens": hour,
        }
    searches = other.get("web_search", 0)
    more: dict[str, Any] = {}
    if searches and (provider == "anthropic" or "claude" in model):
        more["server_tool_use"] = {"web_search_requests": searches}
    elif searches:
        details["web_search_requests"] = searches
        more["server_side_tool_usage_details"] = {"web_search_calls": searches}
    usage = Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetailsWrapper(**details),
        completion_tokens_details=CompletionTokensDetailsWrapper(
            reasoning_tokens=get("reasoning", 0),
            text_tokens=get("output", 0),
            audio_tokens=get("audio_out", 0),
            image_tokens=get("image_out", 0),
            video_tokens=get("video_out", 0),
        ),
        cache_read_input_tokens=read,
        cache_creation_input_tokens=write + hour,
        **more,
    )
    if provider == "anthropic":
        if shape.get("region"):
            usage.inference_geo = shape["region"]  # type: ignore[attr-defined]  # an extra field
        if shape.get("service_tier") == "fast":
            usage.speed = "fast"  # type: ignore[attr-defined]  # an extra field
    return usage


def price(model: str, provider: str, shape: dict[str, Any]) -> float:
    """Return litellm's cost of a usage of ours, in USD."""
    usage = usage_of(shape, model, provider)
    tier = shape.get("service_tier")
    if tier == "batch":
        return sum(batch_cost_calculator(usage, model, provider))
    if provider == "anthropic" and tier == "fast":
        tier = None
    place = {}
    if provider == "openai":
        place["data_residency"] = shape.get("region")
    elif provider == "vertex_ai":
        place["vertex_location"] = shape.get("region")
    cost = sum(
        litellm.cost_per_token(
            model=model,
            custom_llm_provider=provider,
            usage_object=usage,
            service_tier=tier,
            **place,
        )
    )
    if shape.get("other", {}).get("web_search"):
        cost += StandardBuiltInToolCostTracking.get_cost_for_built_in_tools(
            model=model, response_object=None, usage=usage, custom_llm_provider=provider
        )
    return cost


def main() -> None:
    """Read {"shapes": …, "asked": [[model, provider, [shape, …]], …]} from stdin; print costs."""
    question = json.load(sys.stdin)
    peak, off_peak = (datetime.fromisoformat(question[key]) for key in ("peak", "off_peak"))
    answers: list[list[object]] = []
    for model, provider, names in question["asked"]:
        for name in names:
            CLOCK.now = off_peak if name == "off-peak" else peak
            cost: object
            try:
                cost = price(model, provider, question["shapes"][name])
            except Exception as error:  # noqa: BLE001 - reported as the answer
                cost = f"{type(error).__name__}: {error}"[:200]
            answers.append([model, name, cost])
    sys.stdout.write(json.dumps({"version": litellm_version(), "answers": answers}))


def litellm_version() -> str:
    """Return the version of the installed litellm."""
    from importlib.metadata import version

    return version("litellm")


main()
