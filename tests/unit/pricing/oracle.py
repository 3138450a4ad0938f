"""Ask litellm's own calculator what usages cost; print JSON. Run in a process of its own.

litellm takes seconds to import and warns a lot, so the tests stay clear of it.
"""

import json
import logging
import os
import sys
import warnings

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

import litellm  # noqa: E402 - reads its switch when imported
from litellm.types.utils import (  # noqa: E402
    CompletionTokensDetailsWrapper,
    PromptTokensDetailsWrapper,
    Usage,
)

litellm.suppress_debug_info = True


def usage_of(shape: dict[str, int]) -> Usage:
    """Return litellm's form of a usage of ours."""
    read, write, hour = (
        shape.get(m, 0) for m in ("cache_read", "cache_write_5m", "cache_write_1h")
    )
    reasoning = shape.get("reasoning", 0)
    prompt = shape["input"] + read + write + hour
    completion = shape["output"] + reasoning
    details: dict[str, object] = {"cached_tokens": read, "cache_creation_tokens": write + hour}
    if hour:
        details["cache_creation_token_details"] = {
            "ephemeral_5m_input_tokens": write,
            "ephemeral_1h_input_tokens": hour,
        }
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetailsWrapper(**details),
        completion_tokens_details=CompletionTokensDetailsWrapper(
            reasoning_tokens=reasoning, text_tokens=shape["output"]
        ),
        cache_read_input_tokens=read,
        cache_creation_input_tokens=write + hour,
    )


def main() -> None:
    """Read {"shapes": …, "models": {name: provider}} from stdin; print costs or errors."""
    asked = json.load(sys.stdin)
    answers: dict[str, dict[str, object]] = {}
    for model, provider in asked["models"].items():
        answers[model] = {}
        for name, shape in asked["shapes"].items():
            tier = shape.get("service_tier")
            counts = {meter: n for meter, n in shape.items() if meter != "service_tier"}
            try:
                cost = sum(
                    litellm.cost_per_token(
                        model=model,
                        custom_llm_provider=provider,
                        usage_object=usage_of(counts),
                        service_tier=tier,
                    )
                )
            except Exception as error:  # noqa: BLE001 - reported as the answer
                answers[model][name] = f"{type(error).__name__}: {error}"[:200]
            else:
                answers[model][name] = cost
    sys.stdout.write(json.dumps({"answers": answers}))


main()
