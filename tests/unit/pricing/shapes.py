"""The usage shapes that our costs and those of litellm's calculator are compared for.

Each is a usage of ours; `PROVIDERS` limits those that only some providers can report.
"""

from datetime import UTC, datetime
from typing import Any, Final

PEAK: Final = datetime(2026, 11, 25, 8, tzinfo=UTC)
OFF_PEAK: Final = datetime(2026, 11, 28, 15, tzinfo=UTC)

Shape = dict[str, Any]

PROMPTS: Final[dict[str, Shape]] = {
    "prompt only": {"input": 1234},
    "long prompt only": {"input": 300_001},
    "prompt only, cached": {"input": 234, "cache_read": 1000},
    "prompt only, batch": {"input": 1234, "service_tier": "batch"},
}
"""What an embedding model can report, too."""

SHAPES: Final[dict[str, Shape]] = {
    **PROMPTS,
    "plain": {"input": 1234, "output": 567},
    "answer only": {"output": 567},
    "cache read": {"input": 1000, "cache_read": 9000, "output": 300},
    "all cached": {"cache_read": 9000, "output": 300},
    "cache write": {"input": 1000, "cache_read": 100, "cache_write_5m": 4000, "output": 300},
    "write for an hour": {
        "input": 1000,
        "cache_write_5m": 500,
        "cache_write_1h": 4000,
        "output": 300,
    },
    "reasoning": {"input": 1000, "output": 300, "reasoning": 2000},
    "all reasoning": {"input": 1000, "reasoning": 2000},
    "audio in": {"input": 1000, "audio_in": 500, "output": 300},
    "audio in and cached": {"input": 1000, "cache_read": 700, "audio_in": 500, "output": 300},
    "cached audio": {
        "input": 1000,
        "cache_read": 700,
        "audio_in": 300,
        "other": {"cache_read_audio": 200},
        "output": 300,
    },
    "audio out": {"input": 1000, "output": 300, "audio_out": 600},
    "image in": {"input": 1000, "image_in": 2000, "output": 300},
    "image out": {"input": 1000, "output": 300, "image_out": 1290},
    "video in": {"input": 1000, "video_in": 5000, "output": 300},
    "everything": {
        "input": 1000,
        "cache_read": 700,
        "cache_write_5m": 90,
        "audio_in": 300,
        "image_in": 200,
        "video_in": 100,
        "output": 300,
        "reasoning": 250,
        "audio_out": 30,
        "image_out": 20,
    },
    **{
        f"at {n}k": {"input": n * 1000 - 5000, "cache_read": 5000, "output": 300, "reasoning": 40}
        for n in (32, 100, 128, 200, 256, 272, 512)
    },
    **{
        f"above {n}k": {
            "input": n * 1000 - 8000,
            "cache_read": 5000,
            "cache_write_5m": 2001,
            "cache_write_1h": 1000,
            "output": 900,
            "reasoning": 50,
        }
        for n in (32, 100, 128, 200, 256, 272, 512)
    },
    **{
        f"{tier}": {"input": 1000, "cache_read": 500, "output": 300, "service_tier": tier}
        for tier in ("flex", "priority", "fast", "ultrafast", "balanced", "default", "auto")
    },
    **{
        f"{tier}, reasoning": {
            "input": 1000,
            "cache_write_5m": 500,
            "output": 300,
            "reasoning": 700,
            "service_tier": tier,
        }
        for tier in ("flex", "priority", "ultrafast")
    },
    **{
        f"{tier}, long": {
            "input": 290_000,
            "cache_read": 500,
            "output": 300,
            "reasoning": 100,
            "service_tier": tier,
        }
        for tier in ("flex", "priority", "ultrafast")
    },
    "priority, audio": {"input": 1000, "audio_in": 500, "output": 300, "service_tier": "priority"},
    "batch": {"input": 1000, "output": 300, "service_tier": "batch"},
    "batch, cached": {"input": 1000, "cache_read": 500, "output": 300, "service_tier": "batch"},
    "batch, written": {
        "input": 1000,
        "cache_write_5m": 500,
        "output": 300,
        "service_tier": "batch",
    },
    "batch, long": {"input": 290_000, "output": 300, "service_tier": "batch"},
    "batch, audio": {"input": 1000, "audio_in": 500, "output": 300, "service_tier": "batch"},
    "batch, reasoning": {"input": 1000, "output": 300, "reasoning": 50, "service_tier": "batch"},
    "off-peak": {"input": 1000, "cache_read": 500, "output": 300, "reasoning": 100},
    "in the EU": {"input": 1000, "cache_read": 500, "output": 300, "region": "eu"},
    "in us-east5": {"input": 1000, "cache_read": 500, "output": 300, "region": "us-east5"},
    "in the US": {"input": 1000, "cache_read": 500, "output": 300, "region": "us"},
    "fast mode": {"input": 1000, "output": 300, "service_tier": "fast"},
    "web searches": {"input": 1000, "output": 300, "other": {"web_search": 3}},
}

PROVIDERS: Final[dict[str, frozenset[str]]] = {
    "in the EU": frozenset({"openai"}),
    "in us-east5": frozenset({"vertex_ai"}),
    "in the US": frozenset({"anthropic"}),
    "fast mode": frozenset({"anthropic"}),
    "web searches": frozenset({"anthropic", "gemini", "vertex_ai", "xai"}),
}
