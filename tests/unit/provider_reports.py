"""What each provider reports, as its documents or its SDK show it, and how it is to be read."""

from decimal import Decimal
from typing import Any

from llmcost_plugins.usage import Usage

OPENAI_CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-audio-preview-2024-12-17",
    "service_tier": "priority",
    # Two choices; the usage is that of both.
    "choices": [
        {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}
        for i in range(2)
    ],
    "usage": {
        "prompt_tokens": 1000,
        "completion_tokens": 300,
        "total_tokens": 1300,
        "prompt_tokens_details": {
            "cached_tokens": 400,
            "audio_tokens": 250,
            "image_tokens": 50,
            "text_tokens": 700,
            "cache_write_tokens": 100,
            "cached_tokens_details": {"text_tokens": 250, "audio_tokens": 150},
        },
        "completion_tokens_details": {
            "reasoning_tokens": 60,
            "audio_tokens": 80,
            "accepted_prediction_tokens": 10,
            "rejected_prediction_tokens": 5,
        },
    },
}
OPENAI_RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5.4-2026-03-05",
    "service_tier": "flex",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "output": [
        {
            "id": "ws_1",
            "type": "web_search_call",
            "status": "completed",
            "action": {"type": "search", "query": "a"},
        },
        {
            "id": "ws_2",
            "type": "web_search_call",
            "status": "completed",
            "action": {"type": "open_page", "url": "https://example.com"},
        },
        {
            "id": "ws_3",
            "type": "web_search_call",
            "status": "completed",
            "action": {"type": "search", "query": "b"},
        },
    ],
    "usage": {
        "input_tokens": 500,
        "output_tokens": 200,
        "total_tokens": 700,
        "input_tokens_details": {"cached_tokens": 128, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 64},
    },
}
RESPONSE_USAGE = Usage(
    input=372,
    cache_read=128,
    output=136,
    reasoning=64,
    other={"web_search": 2},
    service_tier="flex",
)
ANTHROPIC_USAGE: dict[str, Any] = {
    "input_tokens": 100,
    "output_tokens": 500,
    "cache_read_input_tokens": 3000,
    "cache_creation_input_tokens": 700,
    "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 500},
    "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1},
    "service_tier": "standard",
    "inference_geo": "us",
    "output_tokens_details": {"thinking_tokens": 120},
}
ANTHROPIC_READ = Usage(
    input=100,
    cache_read=3000,
    cache_write_5m=200,
    cache_write_1h=500,
    output=380,
    reasoning=120,
    other={"web_search": 3},
    region="us",
)
GEMINI: dict[str, Any] = {
    "modelVersion": "gemini-2.5-flash",
    "candidates": [
        {
            "groundingMetadata": {
                "webSearchQueries": ["who won", "who won", "when", ""],
                "groundingChunks": [{"web": {"uri": "https://example.com"}}],
            }
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 1000,
        "cachedContentTokenCount": 400,
        "candidatesTokenCount": 300,
        "thoughtsTokenCount": 90,
        "totalTokenCount": 1390,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 300},
            {"modality": "DOCUMENT", "tokenCount": 200},
            {"modality": "AUDIO", "tokenCount": 250},
            {"modality": "IMAGE", "tokenCount": 150},
            {"modality": "VIDEO", "tokenCount": 100},
        ],
        "cacheTokensDetails": [
            {"modality": "TEXT", "tokenCount": 200},
            {"modality": "AUDIO", "tokenCount": 200},
        ],
        "candidatesTokensDetails": [
            {"modality": "IMAGE", "tokenCount": 120},
            {"modality": "AUDIO", "tokenCount": 30},
        ],
        "trafficType": "ON_DEMAND_PRIORITY",
    },
}
GEMINI_READ = Usage(
    input=300,
    cache_read=200,
    audio_in=50,
    image_in=150,
    video_in=100,
    output=150,
    reasoning=90,
    audio_out=30,
    image_out=120,
    other={"cache_read_audio": 200, "web_search": 2},
    service_tier="priority",
)
PERPLEXITY_RESEARCH: dict[str, Any] = {
    "prompt_tokens": 33,
    "completion_tokens": 7163,
    "total_tokens": 7196,
    "citation_tokens": 20016,
    "num_search_queries": 18,
    "reasoning_tokens": 73997,
    "search_context_size": "low",
    "cost": {
        "input_tokens_cost": 0.00007,
        "output_tokens_cost": 0.0573,
        "citation_tokens_cost": 0.04,
        "reasoning_tokens_cost": 0.222,
        "search_queries_cost": 0.09,
        "total_cost": 0.4094,
    },
}
PERPLEXITY_READ = Usage(
    input=33,
    output=7163,
    reasoning=73997,
    other={"web_search": 18, "citation": 20016},
    stated_cost=Decimal("0.4094"),
)

REPORTS: dict[str, tuple[dict[str, Any], Usage]] = {
    "openai chat": (
        OPENAI_CHAT,
        Usage(
            input=350,
            cache_read=250,
            cache_write_5m=100,
            audio_in=100,
            image_in=50,
            output=160,
            reasoning=60,
            audio_out=80,
            other={"cache_read_audio": 150},
            service_tier="priority",
        ),
    ),
    "openai chat, plain": (
        {"usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}},
        Usage(input=10, output=4),
    ),
    "openai chat, details that are not there": (
        {
            "service_tier": "default",
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "total_tokens": None,
                "prompt_tokens_details": None,
                "completion_tokens_details": {"reasoning_tokens": None},
            },
        },
        Usage(input=10, output=4),
    ),
    "openai batch": (
        {"service_tier": "batch", "usage": {"prompt_tokens": 10, "completion_tokens": 4}},
        Usage(input=10, output=4, service_tier="batch"),
    ),
    "openai embeddings": (
        {"object": "list", "usage": {"prompt_tokens": 8, "total_tokens": 8}},
        Usage(input=8),
    ),
    "openai responses": (OPENAI_RESPONSE, RESPONSE_USAGE),
    "openai responses, the last event of a stream": (
        {"type": "response.completed", "sequence_number": 9, "response": OPENAI_RESPONSE},
        RESPONSE_USAGE,
    ),
    "openai images": (
        {
            "usage": {
                "input_tokens": 350,
                "output_tokens": 1056,
                "total_tokens": 1406,
                "input_tokens_details": {"text_tokens": 27, "image_tokens": 323},
                "output_tokens_details": {"text_tokens": 0, "image_tokens": 1056},
            }
        },
        Usage(input=27, image_in=323, image_out=1056),
    ),
    "openai transcription, by tokens": (
        {
            "usage": {
                "type": "tokens",
                "input_tokens": 140,
                "output_tokens": 45,
                "total_tokens": 185,
                "input_token_details": {"text_tokens": 10, "audio_tokens": 130},
            }
        },
        Usage(input=10, audio_in=130, output=45),
    ),
    "openai transcription, by time": (
        {"usage": {"type": "duration", "seconds": 9.005}},
        Usage(other={"ms_in": 9005}),
    ),
    "openai transcription, by whole seconds": (
        {"usage": {"type": "duration", "seconds": 9}},
        Usage(other={"ms_in": 9000}),
    ),
    "openai realtime": (
        {
            "type": "response.done",
            "response": {
                "usage": {
                    "total_tokens": 253,
                    "input_tokens": 132,
                    "output_tokens": 121,
                    "input_token_details": {
                        "text_tokens": 119,
                        "audio_tokens": 13,
                        "cached_tokens": 69,
                        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 5},
                    },
                    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
                }
            },
        },
        Usage(
            input=55,
            cache_read=64,
            audio_in=8,
            output=30,
            audio_out=91,
            other={"cache_read_audio": 5},
        ),
    ),
    "azure": (
        {
            "model": "gpt-4o-2024-08-06",
            "prompt_filter_results": [],
            "usage": {
                "prompt_tokens": 1566,
                "completion_tokens": 1518,
                "total_tokens": 3084,
                "prompt_tokens_details": {"audio_tokens": None, "cached_tokens": 1408},
                "completion_tokens_details": {"audio_tokens": None, "reasoning_tokens": 576},
            },
        },
        Usage(input=158, cache_read=1408, output=942, reasoning=576),
    ),
    "anthropic": ({"model": "claude-opus-4-8", "usage": ANTHROPIC_USAGE}, ANTHROPIC_READ),
    "anthropic, no lifetimes": (
        {
            "usage": {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_creation_input_tokens": 40,
                "cache_read_input_tokens": 0,
                "cache_creation": None,
                "service_tier": "batch",
                "inference_geo": "global",
            }
        },
        Usage(input=10, cache_write_5m=40, output=5, service_tier="batch"),
    ),
    "anthropic, fast": (
        {
            "usage": {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_creation_input_tokens": 0,
                "service_tier": "priority",
                "speed": "fast",
                "inference_geo": "not_available",
            }
        },
        Usage(input=10, output=5, service_tier="fast"),
    ),
    "anthropic, the first event of a stream": (
        {"type": "message_start", "message": {"usage": {**ANTHROPIC_USAGE, "output_tokens": 120}}},
        Usage(
            input=100,
            cache_read=3000,
            cache_write_5m=200,
            cache_write_1h=500,
            reasoning=120,
            other={"web_search": 3},
            region="us",
        ),
    ),
    "anthropic, the last event of a stream": (
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {
                "input_tokens": 100,
                "output_tokens": 500,
                "cache_read_input_tokens": 300,
                "cache_creation_input_tokens": 70,
                "server_tool_use": {"web_search_requests": 1},
            },
        },
        Usage(input=100, cache_read=300, cache_write_5m=70, output=500, other={"web_search": 1}),
    ),
    "anthropic, a compaction within the call": (
        {
            "usage": {
                "input_tokens": 23000,
                "output_tokens": 1000,
                "cache_read_input_tokens": 0,
                "iterations": [
                    {
                        "type": "compaction",
                        "input_tokens": 180000,
                        "output_tokens": 3500,
                        "cache_creation_input_tokens": 70,
                        "cache_creation": {"ephemeral_1h_input_tokens": 70},
                    },
                    {"type": "message", "input_tokens": 23000, "output_tokens": 1000},
                ],
            }
        },
        Usage(input=203000, cache_write_1h=70, output=4500),
    ),
    "gemini": (GEMINI, GEMINI_READ),
    "gemini, the names of its SDK": (
        {
            "model_version": "gemini-2.5-pro",
            "usage_metadata": {
                "prompt_token_count": 500,
                "cached_content_token_count": None,
                "candidates_token_count": 70,
                "thoughts_token_count": 30,
                "tool_use_prompt_token_count": 40,
                "tool_use_prompt_tokens_details": [{"modality": "VIDEO", "token_count": 25}],
                "total_token_count": 640,
                "traffic_type": "ON_DEMAND",
            },
        },
        Usage(input=515, video_in=25, output=70, reasoning=30),
    ),
    "gemini, thoughts that are a part of the answer": (
        {
            "usageMetadata": {
                "promptTokenCount": 10,
                "candidatesTokenCount": 100,
                "thoughtsTokenCount": 60,
                "totalTokenCount": 110,
                "trafficType": "TRAFFIC_TYPE_UNSPECIFIED",
            }
        },
        Usage(input=10, output=40, reasoning=60),
    ),
    "gemini, found on a map": (
        {
            "candidates": [
                {
                    "grounding_metadata": {
                        "web_search_queries": ["a", "b"],
                        "grounding_chunks": [{"maps": {"uri": "x"}, "web": None}],
                    }
                }
            ],
            "usage_metadata": {
                "prompt_token_count": 10,
                "candidates_token_count": 5,
                "tool_use_prompt_token_count": 900,
                "total_token_count": 915,
                "traffic_type": "PROVISIONED_THROUGHPUT",
            },
        },
        # What a search has found is not billed as prompt.
        Usage(
            input=10,
            output=5,
            other={"maps_search": 2},
            service_tier="provisioned_throughput",
        ),
    ),
    "gemini, the tier in a header": (
        {
            "sdk_http_response": {"headers": {"x-gemini-service-tier": "flex"}},
            "usage_metadata": {"prompt_token_count": 10, "candidates_token_count": 5},
        },
        Usage(input=10, output=5, service_tier="flex"),
    ),
    "gemini, the tier in the report": (
        {"usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10, "serviceTier": "flex"}},
        Usage(input=10, service_tier="flex"),
    ),
    "gemini, a live session": (
        {
            "usageMetadata": {
                "promptTokenCount": 20,
                "responseTokenCount": 50,
                "totalTokenCount": 70,
                "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
                "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 50}],
            }
        },
        Usage(audio_in=20, audio_out=50),
    ),
    "bedrock": (
        {
            "ResponseMetadata": {"HTTPStatusCode": 200},
            "output": {"message": {"role": "assistant", "content": [{"text": "x"}]}},
            "serviceTier": {"type": "priority"},
            "usage": {
                "inputTokens": 30,
                "outputTokens": 50,
                "totalTokens": 580,
                "cacheReadInputTokens": 400,
                "cacheWriteInputTokens": 100,
                "cacheDetails": [
                    {"inputTokens": 60, "ttl": "1h"},
                    {"inputTokens": 40, "ttl": "5m"},
                ],
            },
        },
        Usage(
            input=30,
            cache_read=400,
            cache_write_5m=40,
            cache_write_1h=60,
            output=50,
            service_tier="priority",
        ),
    ),
    "bedrock, the last event of a stream": (
        {
            "metadata": {
                "usage": {
                    "inputTokens": 30,
                    "outputTokens": 50,
                    "totalTokens": 80,
                    "cacheReadInputTokenCount": 400,
                    "cacheWriteInputTokens": 7,
                },
                "metrics": {"latencyMs": 10},
                "serviceTier": {"type": "default"},
            }
        },
        Usage(input=30, cache_read=400, cache_write_5m=7, output=50),
    ),
    "mistral": (
        {
            "model": "mistral-large-2512",
            "usage": {
                "prompt_tokens": 1013,
                "completion_tokens": 30,
                "total_tokens": 1043,
                "num_cached_tokens": 1008,
                "prompt_tokens_details": {"cached_tokens": 1008},
                "service_tier": "priority",
            },
        },
        Usage(input=5, cache_read=1008, output=30, service_tier="priority"),
    ),
    "groq, the last chunk of a stream": (
        {
            "service_tier": "flex",
            "model": "openai/gpt-oss-120b",
            "usage": None,
            "x_groq": {
                "id": "req_1",
                "usage": {
                    "queue_time": 0.01,
                    "prompt_tokens": 80,
                    "prompt_time": 0.002,
                    "completion_tokens": 40,
                    "completion_time": 0.1,
                    "total_tokens": 120,
                    "prompt_tokens_details": {"cached_tokens": 64},
                    "completion_tokens_details": {"reasoning_tokens": 12},
                },
            },
        },
        Usage(input=16, cache_read=64, output=28, reasoning=12, service_tier="flex"),
    ),
    "deepseek": (
        {
            "model": "deepseek-chat",
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 36,
            },
        },
        Usage(input=36, cache_read=64, output=20),
    ),
    "xai": (
        {
            "model": "grok-4",
            "usage": {
                "prompt_tokens": 1000,
                "completion_tokens": 200,
                "total_tokens": 1320,
                "prompt_tokens_details": {
                    "text_tokens": 900,
                    "audio_tokens": 0,
                    "image_tokens": 100,
                    "cached_tokens": 640,
                },
                "completion_tokens_details": {"reasoning_tokens": 120, "audio_tokens": 0},
                "num_sources_used": 0,
                "cost_in_usd_ticks": 37756001,
                "server_side_tool_usage_details": {
                    "web_search_calls": 2,
                    "x_search_calls": 1,
                    "code_interpreter_calls": 1,
                },
            },
        },
        Usage(
            input=260,
            cache_read=640,
            image_in=100,
            output=200,
            reasoning=120,
            other={"web_search": 3},
            stated_cost=Decimal("0.0037756001"),
        ),
    ),
    "xai, its own SDK": (
        {
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "reasoning_tokens": 30,
                "total_tokens": 150,
                "cached_prompt_text_tokens": 64,
                "server_side_tool_usage": {
                    "SERVER_SIDE_TOOL_WEB_SEARCH": 2,
                    "SERVER_SIDE_TOOL_X_SEARCH": 1,
                },
            }
        },
        Usage(input=36, cache_read=64, output=20, reasoning=30, other={"web_search": 3}),
    ),
    "xai, live search": (
        {"usage": {"prompt_tokens": 10, "completion_tokens": 5, "num_sources_used": 4}},
        Usage(input=10, output=5, other={"web_search": 4}),
    ),
    "cohere v2": (
        {
            "usage": {
                "billed_units": {"input_tokens": 50.0, "output_tokens": 418.0},
                "tokens": {"input_tokens": 116.0, "output_tokens": 420.0},
                # 66 tokens of it are Cohere's own instructions, which are not billed.
                "cached_tokens": 96.0,
            }
        },
        Usage(input=20, cache_read=30, output=418),
    ),
    "cohere v1": (
        {
            "meta": {
                "api_version": {"version": "1"},
                "billed_units": {"input_tokens": 5, "output_tokens": 7},
                "tokens": {"input_tokens": 71, "output_tokens": 7},
            }
        },
        Usage(input=5, output=7),
    ),
    "cohere rerank": (
        {"results": [], "meta": {"billed_units": {"search_units": 2}}},
        Usage(other={"query": 2}),
    ),
    "cohere embed": (
        {"meta": {"billed_units": {"input_tokens": 8, "image_tokens": 30, "images": 1}}},
        Usage(input=8, image_in=30, other={"images_in": 1}),
    ),
    "cohere, no billed units": (
        {"usage": {"tokens": {"input_tokens": 71, "output_tokens": 7}}},
        Usage(input=71, output=7),
    ),
    "ollama": (
        {
            "model": "llama3.2",
            "done": True,
            "total_duration": 4883583458,
            "prompt_eval_count": 26,
            "eval_count": 282,
        },
        Usage(input=26, output=282),
    ),
    "perplexity deep research": ({"usage": PERPLEXITY_RESEARCH}, PERPLEXITY_READ),
    "perplexity sonar": (
        {
            "usage": {
                "prompt_tokens": 14,
                "completion_tokens": 100,
                "total_tokens": 114,
                "search_context_size": "medium",
                "num_search_queries": 3,
                "cost": {
                    "input_tokens_cost": 0.000014,
                    "output_tokens_cost": 0.0001,
                    "request_cost": 0.008,
                    "total_cost": 0.008114,
                },
            }
        },
        Usage(
            input=14,
            output=100,
            other={"web_search_medium": 1},
            stated_cost=Decimal("0.008114"),
        ),
    ),
    "perplexity agent": (
        {
            "usage": {
                "input_tokens": 1000,
                "output_tokens": 50,
                "total_tokens": 1050,
                "input_tokens_details": {
                    "cache_read_input_tokens": 300,
                    "cache_creation_input_tokens": 200,
                },
                "cost": {"currency": "USD", "input_cost": 0.001, "total_cost": 0.0015},
            }
        },
        Usage(
            input=500,
            cache_read=300,
            cache_write_5m=200,
            output=50,
            stated_cost=Decimal("0.0015"),
        ),
    ),
    "openrouter": (
        {
            "model": "anthropic/claude-sonnet-4.5",
            "usage": {
                "prompt_tokens": 194.0,
                "completion_tokens": 20,
                "total_tokens": 214,
                "cost": 0.1 + 0.2,
                "is_byok": False,
                "cost_details": {"upstream_inference_cost": 19},
                "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 100},
                "completion_tokens_details": {"reasoning_tokens": 3, "image_tokens": 12},
                "server_tool_use": {"web_search_requests": 2},
            },
        },
        Usage(
            input=30,
            cache_read=64,
            cache_write_5m=100,
            output=5,
            reasoning=3,
            image_out=12,
            other={"web_search": 2},
            stated_cost=Decimal("0.30000000000000004"),
        ),
    ),
    "openrouter, with a key of one's own": (
        {
            "usage": {
                "prompt_tokens": 194,
                "completion_tokens": 2,
                "cost": 0.95,
                "is_byok": True,
                "cost_details": {"upstream_inference_cost": 19.0},
            }
        },
        Usage(input=194, output=2, stated_cost=Decimal("19.95")),
    ),
    "litellm": (
        {
            "model": "claude-opus-4-8",
            "_hidden_params": {"response_cost": 0.00123},
            "usage": {
                "prompt_tokens": 430,
                "completion_tokens": 50,
                "total_tokens": 480,
                "cache_read_input_tokens": 300,
                "cache_creation_input_tokens": 30,
                "prompt_tokens_details": {
                    "cached_tokens": 300,
                    "cache_creation_tokens": 30,
                    "cache_creation_token_details": {
                        "ephemeral_5m_input_tokens": 8,
                        "ephemeral_30m_input_tokens": 1,
                        "ephemeral_1h_input_tokens": 19,
                        "ephemeral_12h_input_tokens": 2,
                    },
                    "web_search_requests": 2,
                    "google_maps_grounding_requests": 1,
                },
                "server_tool_use": {"web_search_requests": 2},
            },
        },
        Usage(
            input=100,
            cache_read=300,
            cache_write_5m=8,
            cache_write_1h=19,
            output=50,
            other={
                "cache_write_30m": 1,
                "cache_write_12h": 2,
                "web_search": 2,
                "maps_search": 1,
            },
            stated_cost=Decimal("0.00123"),
        ),
    ),
    "litellm's proxy": (
        {
            "headers": {"x-litellm-response-cost": "1.55e-05"},
            "usage": {"prompt_tokens": 10, "completion_tokens": 4},
        },
        Usage(input=10, output=4, stated_cost=Decimal("0.0000155")),
    ),
    "voyage": ({"usage": {"total_tokens": 815}}, Usage(input=815)),
    "jina": ({"usage": {"total_tokens": 6, "prompt_tokens": 6}}, Usage(input=6)),
}
