"""From LangChain's end and error events to the end of a call. Nothing here raises."""

from typing import Any

from langchain_core.outputs import LLMResult

from llmcost_langchain._live import LiveCall
from llmcost_langchain._messages import (
    from_cache,
    read_summary,
    read_usage,
    received_bytes,
    served_model,
)
from llmcost_plugins.ledger import Outcome
from llmcost_plugins.usage import Usage


def settle_answer(call: LiveCall, result: LLMResult) -> Outcome | None:
    """End a call whose answer has arrived."""
    usage, served, cached = _told(call, result)
    if usage is None:
        usage = call.opened.estimated_usage(_received(call, result))
    if cached:
        return call.opened.cached(usage, served)
    return call.opened.finish(usage, served)


def settle_error(call: LiveCall, error: BaseException, response: Any) -> Outcome | None:
    """End a call that failed or was broken off, see `OpenCall.broke`."""
    result = response if isinstance(response, LLMResult) else None
    usage, served, _ = _told(call, result)
    received = _received(call, result) or 0
    return call.opened.broke(error, received_bytes=received, usage=usage, served=served)


def settle_decision(call: LiveCall, answer: Any) -> Outcome | None:
    """End the call of a decision model."""
    call.said = getattr(answer, "usage", None)
    usage, _, _ = _told(call, None)
    if usage is None:
        usage = call.opened.estimated_usage(None)
    served = getattr(answer, "model", None)
    return call.opened.finish(usage, served if isinstance(served, str) else None)


def settle_dropped(call: LiveCall) -> Outcome | None:
    """End a call that was answered, whose answer LangChain dropped because a later one failed."""
    detail = "a later prompt of the same generate() failed, so that LangChain dropped the answer"
    return call.opened.abort(streamed_bytes=None, detail=detail)


def _told(call: LiveCall, result: LLMResult | None) -> tuple[Usage | None, str | None, bool]:
    """Return the usage that was reported, the model that served, and whether a cache did."""
    usage, served, cached = None, None, False
    try:
        if result is not None:
            usage, served, cached = read_usage(result), served_model(result), from_cache(result)
        usage = read_summary(call.said) if usage is None else usage
    except Exception:  # noqa: BLE001 - an unforeseen shape must not cost the answer
        call.opened.note_failure("the usage")
    return usage, served, cached


def _received(call: LiveCall, result: LLMResult | None) -> int | None:
    """Return the bytes of an answer; `None` when nothing tells."""
    try:
        return max(call.received_bytes, received_bytes(result))
    except Exception:  # noqa: BLE001 - see _told
        call.opened.note_failure("the size of the answer")
        return call.received_bytes or None
